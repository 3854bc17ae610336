//! Why a page cannot be rendered.

use crate::report::StoredError;

/// Why a page cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The events cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The template cannot be rendered.
    #[error("the page cannot be written: {0}")]
    Template(#[from] askama::Error),
}
