//! The innermost cause of an error.

use std::error::Error;

/// The innermost cause of an error. Of clients' errors it is the informative one.
pub(crate) fn innermost(error: &dyn Error) -> &dyn Error {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
