//! The root cause of an error.

use std::error::Error;

/// The innermost cause, which has the detail in the errors of clients.
pub(crate) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
