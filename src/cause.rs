//! What lies at the bottom of an error.

use std::error::Error;

/// The innermost cause: of a client's errors, the one that says something.
pub(crate) fn innermost(error: &dyn Error) -> &dyn Error {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
