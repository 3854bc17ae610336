//! The outcome of each document of an `update` command, from its reply.

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

/// The outcome of one [`super::Store::upsert`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// Documents that were not there before.
    pub upserted: u64,
    /// Documents that were there before and were replaced: events that were received twice.
    pub matched: u64,
    /// Documents that were not written, each with the reason; all others were written.
    pub refusals: Vec<RefusedDocument>,
}

impl BulkOutcome {
    /// Adds the outcome of the documents that begin at `offset`.
    pub(super) fn add(&mut self, other: Self, offset: usize) {
        self.upserted += other.upserted;
        self.matched += other.matched;
        let shifted = other.refusals.into_iter().map(|refusal| RefusedDocument {
            index: refusal.index + offset,
            ..refusal
        });
        self.refusals.extend(shifted);
    }

    /// Reads the reply of an `update` command.
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
        let upserted = u64::try_from(list("upserted").len()).unwrap_or(u64::MAX);
        let refusals = list("writeErrors")
            .iter()
            .filter_map(Bson::as_document)
            .map(|error| RefusedDocument {
                index: usize::try_from(number(error.get("index"))).unwrap_or(usize::MAX),
                code: i32::try_from(number(error.get("code"))).unwrap_or(0),
                message: error.get_str("errmsg").unwrap_or_default().to_owned(),
            });
        Self {
            upserted,
            matched: count(number(reply.get("n"))).saturating_sub(upserted),
            refusals: refusals.collect(),
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
            "ok": 1.0, "n": 5, "nModified": 2,
            "upserted": [ { "index": 0, "_id": 1 }, { "index": 3, "_id": 2 } ],
            "writeErrors": [ { "index": 4, "code": 121, "errmsg": "failed validation" } ],
        };
        let refusal = |index| RefusedDocument {
            index,
            code: 121,
            message: "failed validation".to_owned(),
        };
        let outcome = BulkOutcome::of_reply(&reply);
        assert_eq!((outcome.upserted, outcome.matched), (2, 3));
        assert_eq!(outcome.refusals, [refusal(4)]);

        let mut sum = BulkOutcome::default();
        sum.add(outcome.clone(), 0);
        sum.add(outcome, 100);
        assert_eq!((sum.upserted, sum.matched), (4, 6));
        assert_eq!(sum.refusals, [refusal(4), refusal(104)]);
    }
}
