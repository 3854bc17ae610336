//! Where dead letters are stored, and how they are read from there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cdc_bench_stack::KafkaEndpoint;

use crate::broker::{Admin, BrokerError, ScanStart, TopicScan};
use crate::consumer::{DeadLetter, FileLines};
use crate::pipeline::failure::Failure;

/// A place where dead letters are stored.
#[derive(Debug, Clone)]
pub enum Whence {
    /// A file.
    File(PathBuf),
    /// A topic.
    Topic {
        /// Its name.
        name: String,
        /// Where it is.
        kafka: Box<KafkaEndpoint>,
    },
}

/// A dead letter, and where it is stored.
#[derive(Debug, Clone)]
pub struct PlacedDeadLetter {
    /// Partition of the topic of dead letters; 0 in a file.
    pub partition: i32,
    /// Offset there; in a file the number of its line, from 0.
    pub offset: i64,
    /// The dead letter.
    pub dead_letter: DeadLetter,
}

/// The group that keeps how far a topic of dead letters was replayed.
fn replay_group(topic: &str) -> String {
    format!("{topic}-replay")
}

/// A scan of the topic, from where replays of it have come to.
///
/// # Errors
/// When the topic is not there.
pub(super) async fn scan(name: &str, kafka: &KafkaEndpoint) -> Result<TopicScan, Failure> {
    let config = kafka.client_config();
    let admin = Admin::connect(&config).await?;
    if admin.topic(name).await?.is_none() {
        return Err(Failure::from(BrokerError::NoTopic {
            topic: name.to_owned(),
            bootstrap: kafka.bootstrap.clone(),
        }));
    }
    let group = replay_group(name);
    Ok(TopicScan::new(&config, name, &group, ScanStart::Group))
}

impl Whence {
    /// Passes every dead letter to `handler` until it breaks, on a thread that may block. Returns how many lines or records are
    /// none, and how far each partition of the topic was read.
    ///
    /// # Errors
    /// When file or topic cannot be read.
    pub(super) async fn read(
        &self,
        mut handler: impl FnMut(PlacedDeadLetter) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Read, Failure> {
        match self {
            Self::File(path) => {
                let lines = FileLines::open(path).map_err(|error| cannot_read(path, error))?;
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_lines(lines, handler)).await;
                let read = read.map_err(Failure::usage)?;
                read.map_err(|error| cannot_read(&path, error))
            }
            Self::Topic { name, kafka } => {
                let scan = scan(name, kafka).await?;
                let unreadable = Arc::new(AtomicU64::new(0));
                let counted = Arc::clone(&unreadable);
                let positions = scan.read(move |record| {
                    let (partition, offset) = (record.partition, record.offset);
                    match DeadLetter::of_topic(record.key, record.value, record.headers) {
                        Some(dead_letter) => handler(PlacedDeadLetter {
                            partition,
                            offset,
                            dead_letter,
                        }),
                        None => {
                            counted.fetch_add(1, Ordering::Relaxed);
                            ControlFlow::Continue(())
                        }
                    }
                });
                let positions = positions.await?;
                Ok(Read {
                    unreadable: unreadable.load(Ordering::Relaxed),
                    positions,
                })
            }
        }
    }
}

/// How far each partition was read, or dealt with: the next offset.
pub(super) type Positions = BTreeMap<i32, i64>;

/// What reading has come to.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Lines or records that are no dead letters.
    pub unreadable: u64,
    /// How far each partition was read.
    pub positions: Positions,
}

fn read_lines(
    lines: FileLines,
    mut handler: impl FnMut(PlacedDeadLetter) -> ControlFlow<()>,
) -> std::io::Result<Read> {
    let mut read = Read::default();
    for (offset, line) in (0..).zip(lines) {
        match line?.dead_letter {
            Ok(dead_letter) => {
                let placed = PlacedDeadLetter {
                    partition: 0,
                    offset,
                    dead_letter,
                };
                if handler(placed).is_break() {
                    break;
                }
            }
            Err(_) => read.unreadable += 1,
        }
    }
    Ok(read)
}

pub(super) fn cannot_read(path: &std::path::Path, error: std::io::Error) -> Failure {
    let what = format!(
        "cannot read dead letters from {}; name their file (--dead-letters FILE) or their topic (--dead-letter-topic TOPIC)",
        path.display()
    );
    Failure::usage(anyhow::Error::new(error).context(what))
}
