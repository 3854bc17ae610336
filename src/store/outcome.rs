//! The outcome of each document of an `insert` command, from its reply.

use mongodb::bson::{Bson, Document};

/// A document that the store refused, while it may have written others of the same command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDocument {
    /// Its position in the documents given.
    pub index: usize,
    /// The server's error code.
    pub code: i32,
    /// The server's message.
    pub message: String,
}

/// A document that differs from the one that is in the store under its `_id`, which stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictingDocument {
    /// Its position in the documents given.
    pub index: usize,
    /// The paths of the first fields that differ.
    pub fields: Vec<String>,
}

/// The outcome of one [`super::Store::write`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// Documents that were not there before.
    pub inserted: u64,
    /// Documents that were there before, the same: events that were received twice.
    pub matched: u64,
    /// Documents that were not written, each with the reason.
    pub refusals: Vec<RefusedDocument>,
    /// Documents that were not written as another one has their `_id`. All that are neither here nor refused are in the store.
    pub conflicts: Vec<ConflictingDocument>,
}

impl BulkOutcome {
    /// Adds the outcome of the documents that begin at `offset`.
    pub(super) fn add(&mut self, other: Self, offset: usize) {
        self.inserted += other.inserted;
        self.matched += other.matched;
        let shifted = other.refusals.into_iter().map(|refusal| RefusedDocument {
            index: refusal.index + offset,
            ..refusal
        });
        self.refusals.extend(shifted);
        let shifted = other
            .conflicts
            .into_iter()
            .map(|conflict| ConflictingDocument {
                index: conflict.index + offset,
                ..conflict
            });
        self.conflicts.extend(shifted);
    }

    /// In the order of the documents given.
    pub(super) fn sort(&mut self) {
        self.refusals.sort_by_key(|refusal| refusal.index);
        self.conflicts.sort_by_key(|conflict| conflict.index);
    }

    /// Reads the reply of an `insert` command.
    pub(super) fn of_reply(reply: &Document) -> Self {
        let list = |name: &str| reply.get_array(name).map_or(&[][..], Vec::as_slice);
        let number = |value: Option<&Bson>| match value {
            Some(Bson::Int32(n)) => i64::from(*n),
            Some(Bson::Int64(n)) => *n,
            #[allow(clippy::cast_possible_truncation)] // a count, given as a double by some servers
            Some(Bson::Double(n)) => *n as i64,
            _ => 0,
        };
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        let refusals = list("writeErrors")
            .iter()
            .filter_map(Bson::as_document)
            .map(|error| RefusedDocument {
                index: usize::try_from(number(error.get("index"))).unwrap_or(usize::MAX),
                code: i32::try_from(number(error.get("code"))).unwrap_or(0),
                message: error.get_str("errmsg").unwrap_or_default().to_owned(),
            });
        Self {
            inserted: count(number(reply.get("n"))),
            refusals: refusals.collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn a_reply_is_counted_out() {
        let reply = doc! {
            "ok": 1.0, "n": 5,
            "writeErrors": [ { "index": 4, "code": 121, "errmsg": "failed validation" } ],
        };
        let refusal = |index| RefusedDocument {
            index,
            code: 121,
            message: "failed validation".to_owned(),
        };
        let conflict = |index| ConflictingDocument {
            index,
            fields: vec!["data.name".to_owned()],
        };
        let mut outcome = BulkOutcome::of_reply(&reply);
        outcome.conflicts.push(conflict(2));
        assert_eq!(outcome.inserted, 5);
        assert_eq!(outcome.refusals, [refusal(4)]);

        let mut sum = BulkOutcome::default();
        sum.add(outcome.clone(), 100);
        sum.add(outcome, 0);
        sum.sort();
        assert_eq!(sum.inserted, 10);
        assert_eq!(sum.refusals, [refusal(4), refusal(104)]);
        assert_eq!(sum.conflicts, [conflict(2), conflict(102)]);
    }
}
