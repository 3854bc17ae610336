//! Whether two taps mean the same change, of those with one table and LSN: an update of a key is a delete and an insert with one
//! LSN, and `COPY` writes many rows with one.

use std::collections::BTreeMap;
use std::mem::discriminant;

use serde_json::Value;

use super::super::{ChangeId, Operation};

/// How well two fit; the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Key and operation are the same.
    Same,
    /// The key is.
    Key,
    /// The keys are in different forms, so that they may be the same: of other columns, as a routing transform makes them, or of
    /// other types.
    Possible,
}

/// How well these fit; `None` if they are different changes. A record without its operation is taken for an update.
pub(super) fn fit(one: &ChangeId, other: &ChangeId) -> Option<Fit> {
    if one.key == other.key {
        let is_same = one.operation == other.operation;
        return Some(if is_same { Fit::Same } else { Fit::Key });
    }
    let may_be_same = one.operation == other.operation
        || one.operation == Operation::Update
        || other.operation == Operation::Update;
    (may_be_same && !are_comparable(&one.key, &other.key)).then_some(Fit::Possible)
}

/// Whether two keys have the same columns of the same types, so that they are different when their texts are.
fn are_comparable(one: &str, other: &str) -> bool {
    let columns = |key: &str| serde_json::from_str::<BTreeMap<String, Value>>(key).ok();
    let (Some(one), Some(other)) = (columns(one), columns(other)) else {
        return false;
    };
    one.len() == other.len()
        && one
            .iter()
            .zip(&other)
            .all(|((name, value), (other, of_other))| {
                name == other && discriminant(value) == discriminant(of_other)
            })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn keys_of_one_form_are_the_same_or_not_and_others_may_be() {
        let id = |key: &str, operation| ChangeId {
            table: Arc::from("public.orders"),
            key: Arc::from(key),
            lsn: Some(8),
            operation,
        };
        let captured = id(r#"{"id":1}"#, Operation::Create);
        for (key, operation, expected) in [
            (r#"{"id":1}"#, Operation::Create, Some(Fit::Same)),
            (r#"{"id":1}"#, Operation::Update, Some(Fit::Key)),
            (r#"{"id":2}"#, Operation::Create, None),
            (r#"{"id":"AQ=="}"#, Operation::Create, Some(Fit::Possible)),
            ("7", Operation::Create, Some(Fit::Possible)),
            (
                r#"{"__dbz__physicalTableIdentifier":"a","id":1}"#,
                Operation::Update,
                Some(Fit::Possible),
            ),
            // The other half of an update of a key.
            (r#"{"id":"AQ=="}"#, Operation::Delete, None),
        ] {
            assert_eq!(fit(&captured, &id(key, operation)), expected, "{key}");
        }
    }
}
