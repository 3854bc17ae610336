//! Why there is no page.

use crate::report::StoredError;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The events cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The template does not take the result.
    #[error("the page cannot be written: {0}")]
    Template(#[from] askama::Error),
}
