//! A result read back from its folder.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Report;
use super::observation::{OBSERVE, ObservationReport};
use crate::event::{EventId, EventType};
use crate::timeline::{Hops, Stamp};

/// What every schema's name begins with, before its number.
const FAMILY: &str = "cdc-bench/report/";
/// The newest schema this program reads.
const NEWEST: u32 = 1;
/// In place of a run id: the newest result there is.
pub const LATEST: &str = "latest";

/// Why a result cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Nothing there.
    #[error("there is no result {reference:?}: neither a folder, a report.json nor the id of a run in {}; \"latest\" is the newest one there", results.display())]
    NotFound {
        /// As given.
        reference: String,
        /// Where run ids were looked up.
        results: PathBuf,
    },
    /// `latest`, and there is none.
    #[error("there is no result in {}: \"cdc-bench run\" makes one; --results-dir says where else they are", .0.display())]
    NoneYet(PathBuf),
    /// A folder without a report.
    #[error("{} is no result: there is no report.json in it (a run that was cut off has none)", .0.display())]
    NoReport(PathBuf),
    /// Something else than a report.
    #[error("{} is no report of cdc-bench: {reason}", path.display())]
    NotAReport {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Made by `observe`.
    #[error("{} is the result of an observation, and not of a run: \"cdc-bench report\" shows it, and \"cdc-bench compare\" compares it with another observation", .0.display())]
    Observation(PathBuf),
    /// Made by a later version.
    #[error("{} is of schema {schema:?}, and this version reads up to {FAMILY}{NEWEST}: use the version that made it, or a newer one", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        schema: String,
    },
    /// The system does not let us.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A line of `events.jsonl` that is none.
    #[error("{}, line {line}: {reason}; the file was cut or changed: remove it to do without the events", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// A stored result.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its report.
    pub report: Report,
    /// The text of `report.json`, including fields that this version does not know.
    pub json: String,
    path: PathBuf,
}

impl Stored {
    /// Finds a result: a folder, the path of a `report.json`, the id of a run in `results`, or [`LATEST`].
    ///
    /// # Errors
    /// When there is none, or what is there is none, or is of a newer schema.
    pub fn find(reference: &str, results: &Path) -> Result<Self, StoredError> {
        Self::read(&locate(reference, results)?)
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// As [`Stored::find`].
    pub fn read(path: &Path) -> Result<Self, StoredError> {
        let json = text(path)?;
        let report = parse(path, &json)?;
        Ok(Self {
            report,
            json,
            path: path.to_owned(),
        })
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its events, a line at a time; `None` if there is no `events.jsonl`.
    ///
    /// # Errors
    /// When they are there and cannot be opened.
    pub fn events(&self) -> Result<Option<Events>, StoredError> {
        let path = self.path.with_file_name("events.jsonl");
        match File::open(&path) {
            Ok(file) => Ok(Some(Events {
                lines: BufReader::new(file),
                path,
                line: 0,
                text: String::new(),
            })),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoredError::Read {
                path,
                reason: e.to_string(),
            }),
        }
    }
}

/// A stored observation.
#[derive(Debug, Clone)]
pub struct StoredObservation {
    /// Its report.
    pub report: ObservationReport,
    /// The text of `report.json`, including fields that this version does not know.
    pub json: String,
    path: PathBuf,
}

impl StoredObservation {
    /// Finds an observation as [`Stored::find`] finds a run; `None` if the result is of a run.
    ///
    /// # Errors
    /// As [`Stored::find`].
    pub fn find(reference: &str, results: &Path) -> Result<Option<Self>, StoredError> {
        Self::read(&locate(reference, results)?)
    }

    /// Reads a `report.json`; `None` if it is of a run.
    ///
    /// # Errors
    /// As [`Stored::find`].
    pub fn read(path: &Path) -> Result<Option<Self>, StoredError> {
        let json = text(path)?;
        if !head(path, &json)?.is_observation() {
            return Ok(None);
        }
        let report = serde_json::from_str(&json).map_err(|error| StoredError::NotAReport {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Some(Self {
            report,
            json,
            path: path.to_owned(),
        }))
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Path of the `report.json` that is meant.
fn locate(reference: &str, results: &Path) -> Result<PathBuf, StoredError> {
    if reference == LATEST {
        return newest(results).ok_or_else(|| StoredError::NoneYet(results.to_owned()));
    }
    let given = PathBuf::from(reference);
    for place in [given, results.join(reference)] {
        if place.is_dir() {
            let report = place.join("report.json");
            return if report.is_file() {
                Ok(report)
            } else {
                Err(StoredError::NoReport(place))
            };
        }
        if place.is_file() {
            return Ok(place);
        }
    }
    Err(StoredError::NotFound {
        reference: reference.to_owned(),
        results: results.to_owned(),
    })
}

fn text(path: &Path) -> Result<String, StoredError> {
    std::fs::read_to_string(path).map_err(|error| StoredError::Read {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// The report in the newest folder that has one. Ids of runs begin with their time.
fn newest(results: &Path) -> Option<PathBuf> {
    std::fs::read_dir(results)
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("report.json"))
        .filter(|report| report.is_file())
        .max()
}

/// What every report has.
#[derive(Deserialize)]
struct ReportHead {
    schema: String,
    /// Whatever a newer schema makes of it.
    #[serde(default)]
    run: serde_json::Value,
}

impl ReportHead {
    fn is_observation(&self) -> bool {
        self.run["kind"] == OBSERVE
    }
}

/// The head of a report of a schema that can be read.
fn head(path: &Path, json: &str) -> Result<ReportHead, StoredError> {
    let not_a_report = |reason: String| StoredError::NotAReport {
        path: path.to_owned(),
        reason,
    };
    let head: ReportHead = serde_json::from_str(json).map_err(|e| not_a_report(e.to_string()))?;
    let number = head
        .schema
        .strip_prefix(FAMILY)
        .and_then(|number| number.parse::<u32>().ok())
        .ok_or_else(|| not_a_report(format!("its schema is {:?}", head.schema)))?;
    if number > NEWEST {
        return Err(StoredError::Newer {
            path: path.to_owned(),
            schema: head.schema,
        });
    }
    Ok(head)
}

fn parse(path: &Path, json: &str) -> Result<Report, StoredError> {
    if head(path, json)?.is_observation() {
        return Err(StoredError::Observation(path.to_owned()));
    }
    serde_json::from_str(json).map_err(|error| StoredError::NotAReport {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// One line of `events.jsonl`, as far as a reader of results needs it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoredEvent {
    /// Which event.
    pub id: EventId,
    /// What kind.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The capture path it came by.
    pub path: String,
    /// The round it was part of, where the run had rounds.
    #[serde(default)]
    pub round: Option<u32>,
    /// Its first and last stamp.
    pub stamps: EventEnds,
    /// Its spans.
    pub hops: Hops,
}

/// The first and the last stamp of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct EventEnds {
    /// INSERT sent.
    pub t0: Stamp,
    /// Document acknowledged.
    pub t5: Stamp,
}

/// The lines of an `events.jsonl`.
#[derive(Debug)]
pub struct Events {
    lines: BufReader<File>,
    path: PathBuf,
    line: u64,
    text: String,
}

impl Iterator for Events {
    type Item = Result<StoredEvent, StoredError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.text.clear();
        self.line += 1;
        match self.lines.read_line(&mut self.text) {
            Ok(0) => None,
            Ok(_) => Some(
                serde_json::from_str(&self.text).map_err(|e| StoredError::Line {
                    path: self.path.clone(),
                    line: self.line,
                    reason: e.to_string(),
                }),
            ),
            Err(e) => Some(Err(StoredError::Read {
                path: self.path.clone(),
                reason: e.to_string(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::timeline::{Hop, Nanos};

    #[test]
    fn a_result_is_found_by_folder_file_id_and_as_the_latest() {
        let results = tempfile::tempdir().unwrap();
        for id in ["20260101-000000-aaaaaa", "20260102-000000-bbbbbb"] {
            let folder = results.path().join(id);
            std::fs::create_dir(&folder).unwrap();
            let mut report = sample::report();
            report.run.id = id.to_owned();
            std::fs::write(
                folder.join("report.json"),
                serde_json::to_vec(&report).unwrap(),
            )
            .unwrap();
        }
        // Cut off before it had a report, and newer.
        std::fs::create_dir(results.path().join("20260103-000000-cccccc")).unwrap();
        let first = results.path().join("20260101-000000-aaaaaa");
        let found = |reference: &str| {
            Stored::find(reference, results.path())
                .unwrap()
                .report
                .run
                .id
        };
        let id = "20260101-000000-aaaaaa";
        assert_eq!(found(id), id);
        assert_eq!(found(first.to_str().unwrap()), id);
        assert_eq!(found(first.join("report.json").to_str().unwrap()), id);
        assert_eq!(found(LATEST), "20260102-000000-bbbbbb");
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_reason() {
        let results = tempfile::tempdir().unwrap();
        let refused = |name: &str, content: &str| {
            let path = results.path().join(name);
            std::fs::write(&path, content).unwrap();
            Stored::find(path.to_str().unwrap(), results.path())
                .unwrap_err()
                .to_string()
        };
        assert!(refused("a", "[1]").contains("is no report of cdc-bench"));
        assert!(refused("b", r#"{"schema":"x/1"}"#).contains("its schema is \"x/1\""));
        let newer = refused("c", r#"{"schema":"cdc-bench/report/2","run":7}"#);
        assert!(
            newer.contains("reads up to cdc-bench/report/1") && newer.contains("a newer one"),
            "{newer}"
        );
        let folder = results.path().to_str().unwrap().to_owned();
        let find = |reference: &str| {
            Stored::find(reference, results.path())
                .unwrap_err()
                .to_string()
        };
        assert!(find(&folder).contains("no report.json in it"));
        assert!(find("20260101-000000-aaaaaa").contains("there is no result"));
        assert!(find(LATEST).contains("cdc-bench run"));
    }

    #[test]
    fn events_are_read_line_by_line_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.json");
        std::fs::write(&report, serde_json::to_vec(&sample::report()).unwrap()).unwrap();
        let stored = Stored::read(&report).unwrap();
        assert!(stored.events().unwrap().is_none(), "none were kept");
        let line = r#"{"id":"00000000-0000-0000-0000-000000000007","type":"UserCreated","path":"wal","round":2,"stamps":{"t0":10,"t5":50},"hops":{"total":40,"of_tomorrow":1}}"#;
        std::fs::write(
            folder.path().join("events.jsonl"),
            format!("{line}\n{}\n", &line[..90]),
        )
        .unwrap();
        let mut events = stored.events().unwrap().unwrap();
        let event = events.next().unwrap().unwrap();
        assert_eq!((event.path.as_str(), event.round), ("wal", Some(2)));
        assert_eq!(event.hops.get(Hop::Total), Some(Nanos(40)));
        let error = events.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("events.jsonl, line 2"), "{error}");
        assert!(events.next().is_none());
    }
}
