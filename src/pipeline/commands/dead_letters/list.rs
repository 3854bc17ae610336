//! `dead-letters list` and `show`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use cdc_bench_model::event::EventId;
use serde::Serialize;

use super::{PlacedDeadLetter, Whence};
use crate::consumer::{DeadLetter, DeadLetterReason};
use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;

/// Where a dead letter is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The topic; `None`: whichever.
    topic: Option<String>,
    partition: i32,
    offset: i64,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.rsplitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
        let place = number().zip(number()).and_then(|(offset, partition)| {
            Some(Self {
                topic: parts.next().map(ToOwned::to_owned),
                partition: i32::try_from(partition).ok()?,
                offset,
            })
        });
        place.ok_or_else(|| {
            format!("{text:?} is no place of a record: PARTITION:OFFSET or TOPIC:PARTITION:OFFSET")
        })
    }
}

impl Place {
    fn is_of(&self, dead_letter: &DeadLetter) -> bool {
        let topic = self.topic.as_ref();
        topic.is_none_or(|topic| *topic == dead_letter.topic)
            && (self.partition, self.offset) == (dead_letter.partition, dead_letter.offset)
    }
}

/// What is said of a dead letter in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Topic that it is from.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Why it could not be written.
    pub reason: DeadLetterReason,
    /// The same as a sentence.
    pub message: String,
    /// How often that was tried.
    pub attempts: u32,
    /// When it was first put aside.
    pub first_seen: jiff::Timestamp,
    /// The event, where it could be read.
    pub id: Option<EventId>,
}

/// A list of dead letters.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Listed {
    /// How many there are.
    pub dead_letters: u64,
    /// The same by reason.
    pub by_reason: BTreeMap<String, u64>,
    /// The first of them.
    pub first: Vec<Summary>,
    /// Lines or records that are no dead letters.
    pub unreadable: u64,
}

/// Counts the dead letters, and lists the first `limit`; with a reason, those alone.
///
/// # Errors
/// When file or topic cannot be read.
pub async fn list(whence: &Whence, reason: Option<&str>, limit: usize) -> Result<Listed, Failure> {
    let listed = Arc::new(Mutex::new(Listed::default()));
    let (filled, reason) = (Arc::clone(&listed), reason.map(ToOwned::to_owned));
    let read = whence.read(move |placed: PlacedDeadLetter| {
        let dead_letter = placed.dead_letter;
        let word = dead_letter.reason.as_str();
        if reason.as_ref().is_none_or(|asked| asked == word) {
            let mut listed = lock(&filled);
            listed.dead_letters += 1;
            *listed.by_reason.entry(word.to_owned()).or_default() += 1;
            if listed.first.len() < limit {
                listed.first.push(dead_letter.into());
            }
        }
        ControlFlow::Continue(())
    });
    let unreadable = read.await?.unreadable;
    let listed = std::mem::take(&mut *lock(&listed));
    Ok(Listed {
        unreadable,
        ..listed
    })
}

/// The dead letter that is from this place, the last one where it became one several times.
///
/// # Errors
/// When file or topic cannot be read.
pub async fn show(whence: &Whence, place: Place) -> Result<Option<DeadLetter>, Failure> {
    let found = Arc::new(Mutex::new(None));
    let last = Arc::clone(&found);
    whence
        .read(move |placed| {
            if place.is_of(&placed.dead_letter) {
                *lock(&last) = Some(placed.dead_letter);
            }
            ControlFlow::Continue(())
        })
        .await?;
    Ok(lock(&found).take())
}

impl From<DeadLetter> for Summary {
    fn from(dead_letter: DeadLetter) -> Self {
        Self {
            topic: dead_letter.topic,
            partition: dead_letter.partition,
            offset: dead_letter.offset,
            reason: dead_letter.reason,
            message: dead_letter.message,
            attempts: dead_letter.attempts,
            first_seen: dead_letter.first_seen,
            id: dead_letter.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_partition_and_offset_with_or_without_a_topic() {
        let place: Place = "3:41".parse().unwrap();
        assert_eq!((place.topic, place.partition, place.offset), (None, 3, 41));
        let place: Place = "shop.orders:0:7".parse().unwrap();
        assert_eq!(place.topic.as_deref(), Some("shop.orders"));
        for text in ["", "7", "a:b", "t:0", "t:99999999999:1"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
