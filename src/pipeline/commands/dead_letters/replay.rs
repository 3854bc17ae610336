//! `dead-letters replay`: writes dead letters again, into the store by the stage that could not, or back to a topic. What fails
//! again stays a dead letter. An event is written once, however often it is replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::{Clock, ConsumerStamps};
use cdc_bench_stack::{GivenEndpoints, KafkaEndpoint};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::replay_source::{DeadLetterSource, select};
use super::stored::{cannot_read, scan};
use super::{PlacedDeadLetter, Whence};
use crate::broker::{Admin, BrokerError, RecordProducer};
use crate::consumer::{
    ConsumerStage, DeadLetter, DeadLetters, LockedFile, ReasonCounts, StageObserver,
};
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::progress::RunProgress;
use crate::pipeline::provision::dead_letter_topic::{PublishedDeadLetters, send};
use crate::pipeline::run::stage_setup::stage_config;
use crate::settings::Settings;
use crate::store::MongoStore;

const STEP: &str = "replay";

/// Where dead letters are replayed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayTo {
    /// Into the store.
    Store,
    /// To the topic that each is from.
    SourceTopic,
    /// To this topic.
    Topic(String),
}

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
        Target::Topic(target) => target.replay(selected.batches, cancel).await,
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

/// How far each partition of the topic of dead letters was dealt with.
type Released = BTreeMap<i32, i64>;
/// Those that failed again, by reason.
type Failed = BTreeMap<String, u64>;

async fn into_store(
    store: MongoStore,
    batches: mpsc::Receiver<Vec<PlacedDeadLetter>>,
    kept: DeadLetters,
    settings: &Settings,
    cancel: &CancellationToken,
) -> (Released, Result<Failed, Failure>) {
    let clock = Clock::start();
    let observer = Arc::new(FailedAgain::default());
    let source = DeadLetterSource::new(batches, clock);
    let config = stage_config("", settings);
    let seen = Arc::clone(&observer) as Arc<_>;
    let stage = ConsumerStage::new(source, store, seen, kept, config, clock);
    match tokio::spawn(stage.run(cancel.clone())).await {
        Ok((source, end)) => {
            let outcome = end.map(|_| observer.0.by_reason()).map_err(Failure::from);
            (source.into_released(), outcome)
        }
        Err(panicked) => {
            let failure = Failure::new(exit::DATA, panicked).context("the replay stopped");
            (Released::new(), Err(failure))
        }
    }
}

/// Where dead letters are replayed to, connected.
enum Target {
    Store(MongoStore),
    Topic(TopicTarget),
}

struct TopicTarget {
    producer: RecordProducer,
    admin: Admin,
    bootstrap: String,
    /// The topic; `None`: that which each is from.
    topic: Option<String>,
    /// Topics that are there.
    seen: BTreeSet<String>,
}

impl Target {
    async fn connect(to: &ReplayTo, given: &GivenEndpoints) -> Result<Self, Failure> {
        let topic = match to {
            ReplayTo::Store => {
                let store = MongoStore::connect(&given.store()?).await?;
                store.check_writable().await?;
                store.ensure_indexes().await?;
                return Ok(Self::Store(store));
            }
            ReplayTo::SourceTopic => None,
            ReplayTo::Topic(topic) => Some(topic.clone()),
        };
        let kafka = given.kafka()?;
        let config = kafka.client_config();
        let mut target = TopicTarget {
            admin: Admin::connect(&config).await?,
            producer: RecordProducer::new(&config)?,
            bootstrap: kafka.bootstrap,
            topic,
            seen: BTreeSet::new(),
        };
        if let Some(topic) = target.topic.clone() {
            target.check(&topic).await?;
        }
        Ok(Self::Topic(target))
    }
}

impl TopicTarget {
    /// A topic that is not there is not made: nobody would read it.
    async fn check(&mut self, topic: &str) -> Result<(), Failure> {
        if self.seen.contains(topic) {
            return Ok(());
        }
        if topic.is_empty() || self.admin.topic(topic).await?.is_none() {
            let missing = BrokerError::NoTopic {
                topic: topic.to_owned(),
                bootstrap: self.bootstrap.clone(),
            };
            let advice = "name one that is there (--to-topic TOPIC), or replay into the store";
            return Err(Failure::from(missing).context(advice));
        }
        self.seen.insert(topic.to_owned());
        Ok(())
    }

    async fn replay(
        mut self,
        mut batches: mpsc::Receiver<Vec<PlacedDeadLetter>>,
        cancel: &CancellationToken,
    ) -> (Released, Result<Failed, Failure>) {
        let mut released = Released::new();
        while let Some(Some(batch)) = cancel.run_until_cancelled(batches.recv()).await {
            if let Err(failure) = self.send(&batch).await {
                return (released, Err(failure));
            }
            for placed in &batch {
                released.insert(placed.partition, placed.offset + 1);
            }
        }
        (released, Ok(Failed::new()))
    }

    async fn send(&mut self, batch: &[PlacedDeadLetter]) -> Result<(), Failure> {
        for placed in batch {
            let topic = self.topic.as_ref().unwrap_or(&placed.dead_letter.topic);
            self.check(&topic.clone()).await?;
        }
        let sent = batch.iter().map(|placed| {
            let dead_letter = &placed.dead_letter;
            let topic = self.topic.as_ref().unwrap_or(&dead_letter.topic);
            send(&self.producer, topic, dead_letter)
        });
        let sent = futures_util::future::try_join_all(sent).await;
        sent.map(drop).map_err(Failure::server)
    }
}

/// Where what is left goes: a file that takes the place of the one that is replayed, or the topic again.
enum Left {
    File {
        path: PathBuf,
        /// Locked until the other is in its place.
        locked: LockedFile,
        dead_letters: DeadLetters,
    },
    Topic {
        name: String,
        kafka: KafkaEndpoint,
        dead_letters: DeadLetters,
    },
}

/// The file that is written while another is replayed.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".replay");
    path.with_file_name(name)
}

impl Left {
    fn open(whence: &Whence) -> Result<Self, Failure> {
        match whence {
            Whence::File(path) => {
                let locked = LockedFile::open(path).map_err(|error| cannot_read(path, error))?;
                let locked = locked.ok_or_else(|| {
                    Failure::usage(anyhow::anyhow!(
                        "{} is in use: a consumer appends to it, or another replay has it; end that first",
                        path.display()
                    ))
                })?;
                // Of a replay that was killed.
                remove_if_there(&beside(path))?;
                Ok(Self::File {
                    path: path.clone(),
                    locked,
                    dead_letters: DeadLetters::at(beside(path)),
                })
            }
            Whence::Topic { name, kafka } => Ok(Self::Topic {
                name: name.clone(),
                kafka: kafka.clone(),
                dead_letters: DeadLetters::in_topic(PublishedDeadLetters::to_topic(name, kafka)),
            }),
        }
    }

    fn dead_letters(&self) -> DeadLetters {
        match self {
            Self::File { dead_letters, .. } | Self::Topic { dead_letters, .. } => {
                dead_letters.clone()
            }
        }
    }

    /// All was replayed: what is left takes its place.
    async fn replace(self, positions: Released, left: u64) -> Result<(), Failure> {
        match self {
            Self::File { path, locked, .. } => {
                let failed = |error: std::io::Error| {
                    let what = format!(
                        "all was replayed, but {} cannot be written: it holds the same dead letters still, and may be replayed again",
                        path.display()
                    );
                    Failure::usage(anyhow::Error::new(error).context(what))
                };
                put_in_place(&path, &locked, left).map_err(failed)
            }
            Self::Topic { name, kafka, .. } => {
                scan(&name, &kafka).await?.commit(positions).await?;
                Ok(())
            }
        }
    }

    /// The replay ended early: all dead letters stay, but those of a topic that were dealt with.
    async fn give_up(self, released: Released) {
        let given_up = match self {
            Self::File { path, .. } => remove_if_there(&beside(&path)),
            Self::Topic { name, kafka, .. } => {
                async {
                    scan(&name, &kafka).await?.commit(released).await?;
                    Ok::<_, Failure>(())
                }
                .await
            }
        };
        if let Err(failure) = given_up {
            tracing::warn!(%failure, "after a replay that ended early");
        }
    }
}

fn put_in_place(path: &Path, locked: &LockedFile, left: u64) -> std::io::Result<()> {
    let beside = beside(path);
    let mut has_unreadable = false;
    // Lines that are no dead letters stay as they are.
    for line in locked.lines()? {
        let line = line?;
        if line.dead_letter.is_err() {
            let mut file = std::fs::File::options()
                .create(true)
                .append(true)
                .open(&beside)?;
            file.write_all(&line.text)?;
            file.write_all(b"\n")?;
            has_unreadable = true;
        }
    }
    if left > 0 || has_unreadable {
        std::fs::File::open(&beside)?.sync_all()?;
        std::fs::rename(&beside, path)
    } else {
        std::fs::remove_file(path)
    }
}

fn remove_if_there(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let what = format!("cannot remove {}", path.display());
            Err(Failure::usage(anyhow::Error::new(error).context(what)))
        }
        _ => Ok(()),
    }
}
