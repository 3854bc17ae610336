//! Where dead letters go: a file, and beside it a topic where one is named.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::dead_letter_file::DeadLetterFile;
use super::{DeadLetter, ReasonCounts, StageError};

/// A topic of dead letters.
pub trait DeadLetterTopic: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> String;

    /// Publishes these: they are acknowledged when the future is ready.
    fn publish(self: Arc<Self>, dead_letters: Arc<Vec<DeadLetter>>) -> Publication;
}

/// A publication; its error says what was refused and what to do.
pub type Publication = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Where dead letters go.
#[derive(Debug)]
pub struct DeadLetters {
    file: DeadLetterFile,
    topic: Option<Arc<dyn DeadLetterTopic>>,
    counts: ReasonCounts,
}

impl DeadLetters {
    /// Dead letters are appended to the file at `path`, which is created with the first one.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self {
            file: DeadLetterFile::at(path),
            topic: None,
            counts: ReasonCounts::default(),
        }
    }

    /// They are published there as well.
    #[must_use]
    pub fn with_topic(self, topic: Option<Arc<dyn DeadLetterTopic>>) -> Self {
        Self { topic, ..self }
    }

    /// The file that they are in.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Saves these. Only when the future is ready may the offsets of their records be committed.
    pub(super) fn save(
        &self,
        dead_letters: Arc<Vec<DeadLetter>>,
    ) -> impl Future<Output = Result<(), StageError>> + Send + 'static {
        for dead_letter in &*dead_letters {
            self.tell(dead_letter);
        }
        let path = self.path().to_owned();
        let appended = self.file.append(Arc::clone(&dead_letters));
        let topic = self.topic.clone();
        async move {
            let in_file = async {
                let appended = appended.await;
                appended.map_err(|cause| StageError::DeadLetters { path, cause })
            };
            let in_topic = async {
                let Some(topic) = topic else { return Ok(()) };
                let name = topic.name();
                let published = topic.publish(dead_letters).await;
                published.map_err(|cause| StageError::DeadLetterTopic { topic: name, cause })
            };
            futures_util::try_join!(in_file, in_topic).map(drop)
        }
    }

    /// The first of each reason is logged, then the tenth, the hundredth: all of them are in the file.
    fn tell(&self, dead_letter: &DeadLetter) {
        let count = self.counts.add(&dead_letter.reason);
        if count == 10_u64.pow(count.ilog10()) {
            tracing::error!(
                reason = %dead_letter.reason,
                topic = dead_letter.topic,
                partition = dead_letter.partition,
                offset = dead_letter.offset,
                message = dead_letter.message,
                so_far = count,
                "dead letter"
            );
        }
    }
}
