//! Where dead letters go: a file, and beside it a topic where one is named.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
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

/// Where dead letters go. Its clones are the same place.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    file: Option<Arc<DeadLetterFile>>,
    topic: Option<Arc<dyn DeadLetterTopic>>,
    counts: Arc<ReasonCounts>,
}

impl DeadLetters {
    /// Dead letters are appended to the file at `path`, which is created with the first one.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self {
            file: Some(Arc::new(DeadLetterFile::at(path))),
            topic: None,
            counts: Arc::default(),
        }
    }

    /// Dead letters are published to a topic, and are in no file.
    #[must_use]
    pub fn in_topic(topic: Arc<dyn DeadLetterTopic>) -> Self {
        Self {
            file: None,
            topic: Some(topic),
            counts: Arc::default(),
        }
    }

    /// They are published there as well.
    #[must_use]
    pub fn with_topic(self, topic: Option<Arc<dyn DeadLetterTopic>>) -> Self {
        Self { topic, ..self }
    }

    /// Saves these. Only when the future is ready may the offsets of their records be committed.
    pub(super) fn save(
        &self,
        dead_letters: Arc<Vec<DeadLetter>>,
    ) -> impl Future<Output = Result<(), StageError>> + Send + 'static {
        for dead_letter in &*dead_letters {
            self.tell(dead_letter);
        }
        self.keep(dead_letters)
    }

    /// Saves dead letters as they are: they were told of when they became such.
    ///
    /// # Errors
    /// When file or topic does not take them.
    pub fn keep(
        &self,
        dead_letters: Arc<Vec<DeadLetter>>,
    ) -> impl Future<Output = Result<(), StageError>> + Send + 'static {
        let (file, topic) = (self.file.clone(), self.topic.clone());
        async move {
            let in_file = async {
                let Some(file) = file else { return Ok(()) };
                let appended = file.append(Arc::clone(&dead_letters)).await;
                appended.map_err(|cause| StageError::DeadLetters {
                    path: file.path().to_owned(),
                    cause,
                })
            };
            let in_topic = async {
                let Some(topic) = topic else { return Ok(()) };
                let name = topic.name();
                let published = topic.publish(Arc::clone(&dead_letters)).await;
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
