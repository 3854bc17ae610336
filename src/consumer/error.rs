//! Why the consumer cannot go on.

use std::time::Duration;

use crate::store::StoreError;

/// Why the stage stopped. Records that were not written will be delivered again to the next consumer of the group.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The store refuses every write, or was unavailable for too long.
    #[error("writing to the store failed {}: {cause}", describe(*.tried_for))]
    Store {
        /// The last refusal.
        cause: StoreError,
        /// How long it was tried.
        tried_for: Duration,
    },
    /// A record could be written nowhere, not even to the dead letters.
    #[error("cannot write dead letters to {path}: {cause}")]
    DeadLetters {
        /// The file.
        path: std::path::PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The topic of dead letters does not take one.
    #[error("topic \"{topic}\" does not take a dead letter: {cause}")]
    DeadLetterTopic {
        /// Its name.
        topic: String,
        /// What was refused, and what to do.
        cause: String,
    },
}

fn describe(tried_for: Duration) -> String {
    if tried_for < Duration::from_secs(1) {
        "at once and for good".to_owned()
    } else {
        format!("for {} s", tried_for.as_secs())
    }
}
