//! Where the dead letters go that are left of a replay.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cdc_bench_stack::KafkaEndpoint;

use super::Whence;
use super::stored::{Positions, cannot_read, scan};
use crate::consumer::{DeadLetters, LockedFile};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::dead_letter_topic::PublishedDeadLetters;

/// Where what is left goes: a file that takes the place of the one that is replayed, or the topic again.
pub(super) enum Left {
    File {
        path: PathBuf,
        /// Locked until the other is in its place.
        locked: LockedFile,
        dead_letters: DeadLetters,
    },
    Topic {
        name: String,
        kafka: Box<KafkaEndpoint>,
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
    pub fn open(whence: &Whence) -> Result<Self, Failure> {
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

    pub fn dead_letters(&self) -> DeadLetters {
        match self {
            Self::File { dead_letters, .. } | Self::Topic { dead_letters, .. } => {
                dead_letters.clone()
            }
        }
    }

    /// All was replayed: what is left takes its place.
    pub async fn replace(self, positions: Positions, left: u64) -> Result<(), Failure> {
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
    pub async fn give_up(self, released: Positions) {
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
