//! The guard of a run's store: one that takes commands and answers none would be waited for without end.

use std::time::Duration;

use crate::pipeline::failure::Failure;
use crate::pipeline::monitor::silence::SilenceTimer;
use crate::store::MongoStore;

/// Interval of its questions.
const INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the store until it has answered nothing for so long.
pub(crate) async fn watch_store(store: &MongoStore, silence: Duration) -> Failure {
    let mut silence = SilenceTimer::new("the store", silence);
    let mut turns = tokio::time::interval(INTERVAL);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let why = match tokio::time::timeout(ANSWER_TIMEOUT, store.ping()).await {
            Ok(Ok(())) => {
                silence.answered();
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        if let Some(failure) = silence.unanswered(&store.server(), &why) {
            return failure;
        }
    }
}
