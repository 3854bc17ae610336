//! What a verification finds: counts, and the first of each kind.

use mongodb::bson::{RawDocument, RawDocumentBuf};
use serde::Serialize;

use crate::store::DocumentError;
use crate::store::difference::{FieldDifference, NOT_COMPARED, differences};
use cdc_bench_model::event::EventId;

/// Ids and documents listed of each kind of finding; all are counted.
const MAX_LISTED: usize = 20;

/// A document that is not the one expected for its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferingDocument {
    /// The event.
    pub id: EventId,
    /// What differs, at most 20 fields.
    pub fields: Vec<FieldDifference>,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoreVerification {
    /// Rows in PostgreSQL.
    pub postgres_count: u64,
    /// Documents in the store.
    pub store_count: u64,
    /// Rows without a document.
    pub missing: u64,
    /// Documents without a row; also those whose `_id` is no UUID, which are not listed.
    pub extra: u64,
    /// Documents that are not the one expected for their row. `lsn` and `tx_id` are not compared.
    pub differing: u64,
    /// Equal pairs as a share of the larger of the two counts, percent. 100 where both sides are empty.
    pub match_percent: f64,
    /// Events of the first rows without a document, at most 20, by id.
    pub first_missing: Vec<EventId>,
    /// Events of the first documents without a row, at most 20, by id.
    pub first_extra: Vec<EventId>,
    /// The first documents that differ, at most 20, by id.
    pub first_differing: Vec<DifferingDocument>,
}

impl StoreVerification {
    /// Whether both sides hold the same.
    #[must_use]
    pub fn is_match(&self) -> bool {
        self.missing + self.extra + self.differing == 0
    }

    /// This and another one, of other rows.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.postgres_count += other.postgres_count;
        self.store_count += other.store_count;
        self.missing += other.missing;
        self.extra += other.extra;
        self.differing += other.differing;
        let same = self
            .postgres_count
            .saturating_sub(self.missing + self.differing);
        self.match_percent = match_percent(same, self.postgres_count.max(self.store_count));
        self.first_missing.extend(other.first_missing);
        self.first_missing.truncate(MAX_LISTED);
        self.first_extra.extend(other.first_extra);
        self.first_extra.truncate(MAX_LISTED);
        self.first_differing.extend(other.first_differing);
        self.first_differing.truncate(MAX_LISTED);
        self
    }
}

/// Counts and lists what the merge finds.
#[derive(Default)]
pub(super) struct VerificationTally {
    same: u64,
    missing: u64,
    extra: u64,
    differing: u64,
    first_missing: Vec<EventId>,
    first_extra: Vec<EventId>,
    first_differing: Vec<DifferingDocument>,
}

impl VerificationTally {
    /// How many events were compared.
    pub fn all(&self) -> u64 {
        self.same + self.missing + self.extra + self.differing
    }

    /// A row without a document.
    pub fn missing(&mut self, id: EventId) {
        self.missing += 1;
        if self.first_missing.len() < MAX_LISTED {
            self.first_missing.push(id);
        }
    }

    /// A document without a row.
    pub fn extra(&mut self, id: EventId) {
        self.extra += 1;
        if self.first_extra.len() < MAX_LISTED {
            self.first_extra.push(id);
        }
    }

    /// Documents whose `_id` is not a UUID.
    pub fn foreign(&mut self, count: u64) {
        self.extra += count;
    }

    /// Compares a document with the one expected for its row.
    pub fn pair(
        &mut self,
        id: EventId,
        expected: Result<RawDocumentBuf, DocumentError>,
        stored: &RawDocument,
    ) {
        let fields = match expected {
            Ok(expected) => differences(&expected, stored, &NOT_COMPARED),
            // No document can be built of the row, and yet there is one.
            Err(error) => vec![FieldDifference {
                path: "data".to_owned(),
                postgres: Some(error.to_string()),
                store: Some("a document".to_owned()),
            }],
        };
        if fields.is_empty() {
            self.same += 1;
            return;
        }
        self.differing += 1;
        if self.first_differing.len() < MAX_LISTED {
            self.first_differing.push(DifferingDocument { id, fields });
        }
    }

    pub fn into_verification(self) -> StoreVerification {
        let both = self.same + self.differing;
        let (postgres_count, store_count) = (both + self.missing, both + self.extra);
        let larger = postgres_count.max(store_count);
        StoreVerification {
            postgres_count,
            store_count,
            missing: self.missing,
            extra: self.extra,
            differing: self.differing,
            match_percent: match_percent(self.same, larger),
            first_missing: self.first_missing,
            first_extra: self.first_extra,
            first_differing: self.first_differing,
        }
    }
}

/// Equal pairs as a share of the larger count, percent.
#[allow(clippy::cast_precision_loss)] // a percentage of counts far below 2^53
fn match_percent(same: u64, larger: u64) -> f64 {
    if larger == 0 {
        return 100.0;
    }
    same as f64 * 100.0 / larger as f64
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> EventId {
        EventId(Uuid::from_u128(n))
    }

    #[test]
    fn nothing_on_both_sides_matches() {
        let found = VerificationTally::default().into_verification();
        assert!(found.is_match());
        assert!((found.match_percent - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn findings_are_counted_all_and_listed_first() {
        let raw = |document| RawDocumentBuf::try_from(&document).unwrap();
        let mut tally = VerificationTally::default();
        for n in 0..30 {
            tally.missing(id(n));
        }
        tally.extra(id(100));
        tally.foreign(2);
        for n in 0..65 {
            let stored = raw(doc! { "a": 1, "source": n });
            tally.pair(id(200), Ok(raw(doc! { "a": 1, "source": null })), &stored);
        }
        for _ in 0..5 {
            tally.pair(id(300), Ok(raw(doc! { "a": 1 })), &raw(doc! { "a": 2 }));
        }
        let found = tally.into_verification();
        assert_eq!((found.postgres_count, found.store_count), (100, 73));
        assert_eq!((found.missing, found.extra, found.differing), (30, 3, 5));
        assert_eq!(
            (found.first_missing.len(), found.first_extra.len()),
            (20, 1)
        );
        assert_eq!(found.first_differing[0].fields[0].path, "a");
        assert!((found.match_percent - 65.0).abs() < 1e-9);
        assert!(!found.is_match());
    }

    #[test]
    fn two_verifications_of_other_rows_are_one_of_both() {
        let raw = |document| RawDocumentBuf::try_from(&document).unwrap();
        let of = |same: u128, missing: u128| {
            let mut tally = VerificationTally::default();
            for n in 0..same {
                tally.pair(id(n), Ok(raw(doc! { "a": 1 })), &raw(doc! { "a": 1 }));
            }
            for n in 0..missing {
                tally.missing(id(n));
            }
            tally.into_verification()
        };
        let both = of(60, 15).and(of(20, 5));
        assert_eq!((both.postgres_count, both.store_count), (100, 80));
        assert_eq!((both.missing, both.first_missing.len()), (20, 20));
        assert!((both.match_percent - 80.0).abs() < 1e-9);
        let nothing = of(0, 0);
        assert_eq!(nothing.clone().and(nothing.clone()), nothing);
    }
}
