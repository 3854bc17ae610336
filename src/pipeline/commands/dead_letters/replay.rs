//! `dead-letters replay`: writes dead letters again, into the store by the stage that could not, or back to a topic. What fails
//! again stays a dead letter. An event is written once, however often it is replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::{Clock, ConsumerStamps};
use cdc_bench_stack::GivenEndpoints;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::left::Left;
use super::replay_source::{DeadLetterSource, select};
use super::stored::Positions;
use super::target::Target;
use super::{PlacedDeadLetter, ReplayTo, Whence};
use crate::consumer::{DeadLetter, DeadLetters, ReasonCounts, StageObserver};
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::progress::RunProgress;
use crate::pipeline::run::stage_setup::{StageParts, stage_config};
use crate::records::Topics;
use crate::settings::Settings;
use crate::store::MongoStore;

const STEP: &str = "replay";

/// Parameters of a replay.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// Where the dead letters are.
    pub whence: Whence,
    /// Where they are to go.
    pub to: ReplayTo,
    /// Those of this reason alone.
    pub reason: Option<String>,
}

/// The result of a replay.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Replayed {
    /// Dead letters that were written, or had nothing to write.
    pub handled: u64,
    /// Those that could not be written again, and stay.
    pub failed_again: u64,
    /// The same by reason.
    pub failed_by_reason: BTreeMap<String, u64>,
    /// Those that were not replayed, and stay: of another reason, or without their value.
    pub not_replayed: u64,
    /// Lines or records that are no dead letters; lines stay.
    pub unreadable: u64,
}

impl Replayed {
    /// How many dead letters are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.failed_again + self.not_replayed
    }
}

#[derive(Default)]
struct FailedAgain(ReasonCounts);

impl StageObserver for FailedAgain {
    fn wants(&self, _: &str) -> bool {
        true
    }

    fn consumed(&self, _: &str, _: u64) {}

    fn written(&self, _: &str, _: EventId, _: EventType, _: u64, _: ConsumerStamps) {}

    fn dead_letter(&self, dead_letter: &DeadLetter) {
        self.0.add(&dead_letter.reason);
    }
}

/// Replays dead letters.
///
/// # Errors
/// When they cannot be read, a server is unreachable, or does not take any write. They all stay where they are then; what was
/// written is not written again by the next replay.
pub async fn replay(
    request: ReplayRequest,
    settings: &Settings,
    given: &GivenEndpoints,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Replayed, Failure> {
    progress.begin(STEP);
    progress.update(STEP, "connecting to the servers");
    let left = Left::open(&request.whence)?;
    let target = Target::connect(&request.to, given).await?;
    progress.update(STEP, "replaying");
    let kept = left.dead_letters();
    let selected = select(request.whence.clone(), request.reason.clone(), kept.clone());
    let (released, outcome) = match target {
        Target::Store(store) => into_store(store, selected.batches, kept, settings, cancel).await,
        Target::Topic(target) => {
            let (released, sent) = target.replay(selected.batches, cancel).await;
            (released, sent.map(|()| Failed::new()))
        }
    };
    // It ends by itself: all was read, or its receiver is gone.
    let selection = selected.selecting.await.map_err(Failure::usage)?;
    match (outcome, selection) {
        (Ok(failed), Ok(selection)) if !cancel.is_cancelled() => {
            let failed_again = failed.values().sum();
            let replayed = Replayed {
                handled: selection.taken.saturating_sub(failed_again),
                failed_again,
                failed_by_reason: failed,
                not_replayed: selection.kept,
                unreadable: selection.read.unreadable,
            };
            left.replace(selection.read.positions, replayed.left())
                .await?;
            Ok(replayed)
        }
        (outcome, selection) => {
            left.give_up(released).await;
            outcome?;
            selection?;
            Err(Failure::interrupted())
        }
    }
}

/// Those that failed again, by reason.
type Failed = BTreeMap<String, u64>;

async fn into_store(
    store: MongoStore,
    batches: mpsc::Receiver<Vec<PlacedDeadLetter>>,
    kept: DeadLetters,
    settings: &Settings,
    cancel: &CancellationToken,
) -> (Positions, Result<Failed, Failure>) {
    let clock = Clock::start();
    let observer = Arc::new(FailedAgain::default());
    let source = DeadLetterSource::new(batches, clock);
    let parts = StageParts {
        store,
        observer: Arc::clone(&observer) as Arc<_>,
        dead_letters: kept,
        config: stage_config(Topics::one(""), settings),
        clock,
    };
    let stage = match parts.spawn(source, cancel.clone(), || {}) {
        Ok(stage) => stage,
        Err(failure) => return (Positions::new(), Err(failure)),
    };
    match stage.await {
        Ok((source, end)) => {
            let outcome = end.map(|_| observer.0.by_reason()).map_err(Failure::from);
            (source.into_released(), outcome)
        }
        Err(panicked) => {
            let failure = Failure::new(exit::DATA, panicked).context("the replay stopped");
            (Positions::new(), Err(failure))
        }
    }
}
