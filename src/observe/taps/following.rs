//! A tap of the sink at work.

use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

use crate::broker::TopicTail;

/// A tap of the sink at work, and how it is stopped.
pub(in crate::observe) enum Following {
    /// A task that ends when the guard is dropped.
    Task(DropGuard, JoinHandle<()>),
    /// A reader of topics.
    Topics(TopicTail),
    /// One that ends with the process.
    Unattended,
}

impl Following {
    pub(in crate::observe) async fn stop(self) {
        match self {
            Self::Task(guard, task) => {
                drop(guard);
                if let Err(error) = task.await {
                    tracing::warn!(%error, "the tap of the sink did not stop cleanly");
                }
            }
            Self::Topics(tail) => tail.stop().await,
            Self::Unattended => {}
        }
    }
}
