//! Two documents compared by value: field order does not count, and 1 is 1.0.
//!
//! PostgreSQL's `jsonb` keeps neither the order of keys nor the spelling of numbers, so bytes would differ where
//! nothing does.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Bson, RawBson, RawBsonRef, RawDocument};
use serde::Serialize;
use uuid::Uuid;

/// Fields that are not those of the event: the LSN and transaction id of its change are in no row, and are others where the row
/// is read again by a snapshot.
pub(super) const NOT_COMPARED: [&str; 1] = ["source"];

/// Fields listed of one pair of documents.
const MOST_FIELDS: usize = 20;
/// Characters shown of one value.
const MOST_CHARS: usize = 200;

/// A field that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// Its path, such as `data.location.city`; a list's items by their index.
    pub path: String,
    /// The value that the PostgreSQL row gives, as text, shortened; `None` where the row has no such field.
    pub postgres: Option<String>,
    /// The value in the store; `None` where the document has no such field.
    pub store: Option<String>,
}

/// The fields that differ, at most the first 20. A top-level field named in `ignored` does not count.
pub(super) fn differences(
    expected: &RawDocument,
    stored: &RawDocument,
    ignored: &[&str],
) -> Vec<FieldDifference> {
    let mut found = Found::default();
    found.documents("", expected, stored, ignored);
    found.0
}

#[derive(Default)]
struct Found(Vec<FieldDifference>);

impl Found {
    fn documents(
        &mut self,
        path: &str,
        expected: &RawDocument,
        stored: &RawDocument,
        ignored: &[&str],
    ) {
        let counts = |name: &str| !ignored.contains(&name);
        for element in expected.iter_elements().flatten() {
            let name = element.key().as_str();
            if counts(name) {
                let ours = element.value().ok();
                self.values(path, name, ours, stored.get(name).ok().flatten());
            }
        }
        for element in stored.iter_elements() {
            let Ok(element) = element else {
                self.add(path, "(malformed BSON)", None, None);
                return;
            };
            let name = element.key().as_str();
            if counts(name) && matches!(expected.get(name), Ok(None)) {
                self.values(path, name, None, element.value().ok());
            }
        }
    }

    fn values(
        &mut self,
        path: &str,
        name: &str,
        expected: Option<RawBsonRef<'_>>,
        stored: Option<RawBsonRef<'_>>,
    ) {
        if self.0.len() >= MOST_FIELDS {
            return;
        }
        let (Some(ours), Some(theirs)) = (expected, stored) else {
            return self.add(path, name, expected, stored);
        };
        match (ours, theirs) {
            (RawBsonRef::Document(ours), RawBsonRef::Document(theirs)) => {
                self.documents(&join(path, name), ours, theirs, &[]);
            }
            (RawBsonRef::Array(ours), RawBsonRef::Array(theirs)) => {
                let path = join(path, name);
                let mut ours = ours.into_iter();
                let mut theirs = theirs.into_iter();
                for index in 0.. {
                    let (ours, theirs) = (ours.next(), theirs.next());
                    if ours.is_none() && theirs.is_none() {
                        break;
                    }
                    let (ours, theirs) = (ours.and_then(Result::ok), theirs.and_then(Result::ok));
                    self.values(&path, &index.to_string(), ours, theirs);
                }
            }
            (ours, theirs) if same_scalar(ours, theirs) => {}
            _ => self.add(path, name, expected, stored),
        }
    }

    fn add(
        &mut self,
        path: &str,
        name: &str,
        expected: Option<RawBsonRef<'_>>,
        stored: Option<RawBsonRef<'_>>,
    ) {
        if self.0.len() < MOST_FIELDS {
            self.0.push(FieldDifference {
                path: join(path, name),
                postgres: expected.map(show),
                store: stored.map(show),
            });
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn same_scalar(a: RawBsonRef<'_>, b: RawBsonRef<'_>) -> bool {
    match (a, b) {
        (RawBsonRef::Double(a), RawBsonRef::Double(b)) => a == b || (a.is_nan() && b.is_nan()),
        (RawBsonRef::Double(double), other) | (other, RawBsonRef::Double(double)) => {
            integer(other).is_some_and(|integer| same_number(integer, double))
        }
        (a, b) => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a == b,
            (None, None) => a == b,
            _ => false,
        },
    }
}

fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(n) => Some(i64::from(n)),
        RawBsonRef::Int64(n) => Some(n),
        _ => None,
    }
}

/// Exactly, also where a double cannot tell neighbouring integers apart.
#[allow(clippy::cast_possible_truncation)] // within the range that is asked for, a whole double is an i64
fn same_number(integer: i64, double: f64) -> bool {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    double.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(&double) && double as i64 == integer
}

fn show(value: RawBsonRef<'_>) -> String {
    let text = match value {
        RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Uuid => {
            Uuid::from_slice(binary.bytes)
                .map_or_else(|error| error.to_string(), |id| id.to_string())
        }
        RawBsonRef::DateTime(time) => time
            .try_to_rfc3339_string()
            .unwrap_or_else(|_| format!("{} ms", time.timestamp_millis())),
        other => Bson::try_from(RawBson::from(other))
            .map_or_else(|_| "(malformed BSON)".to_owned(), |value| value.to_string()),
    };
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, RawDocumentBuf, doc};
    use proptest::prelude::*;

    use super::*;

    fn compare(expected: &Document, stored: &Document) -> Vec<FieldDifference> {
        let raw = |document: &Document| RawDocumentBuf::try_from(document).unwrap();
        differences(&raw(expected), &raw(stored), &["source"])
    }

    fn paths(expected: &Document, stored: &Document) -> Vec<String> {
        let found = compare(expected, stored);
        found.into_iter().map(|field| field.path).collect()
    }

    #[test]
    fn order_spelling_and_source_do_not_count() {
        let expected = doc! { "a": 1, "data": { "x": 2_i64, "y": [1.0, "t"] }, "source": 1 };
        let stored = doc! { "data": { "y": [1, "t"], "x": 2.0 }, "source": 2, "a": 1_i64 };
        assert_eq!(compare(&expected, &stored), []);
    }

    #[test]
    fn each_difference_has_its_path_and_both_values() {
        let expected = doc! { "a": 1, "data": { "x": "é", "y": [1, 2], "z": null, "source": 1 } };
        let stored = doc! { "a": "1", "data": { "x": "e", "y": [1], "w": true, "source": 2 } };
        assert_eq!(
            paths(&expected, &stored),
            ["a", "data.x", "data.y.1", "data.z", "data.source", "data.w"]
        );
        let found = compare(&expected, &stored);
        let both = |n: usize| (found[n].postgres.as_deref(), found[n].store.as_deref());
        assert_eq!(both(0), (Some("1"), Some("\"1\"")));
        assert_eq!(both(2), (Some("2"), None));
        assert_eq!(both(3), (Some("null"), None));
        assert_eq!(both(5), (None, Some("true")));
    }

    #[test]
    fn integers_that_a_double_cannot_tell_apart_differ() {
        let wide = 9_007_199_254_740_993_i64;
        assert_eq!(
            paths(&doc! { "n": wide }, &doc! { "n": 9_007_199_254_740_992.0 }),
            ["n"]
        );
        assert_eq!(paths(&doc! { "n": i64::MAX }, &doc! { "n": 9.3e18 }), ["n"]);
        assert_eq!(paths(&doc! { "n": 0 }, &doc! { "n": -0.0 }), [""; 0]);
    }

    #[test]
    fn long_values_and_long_lists_are_cut_short() {
        let many = |value: i32| {
            (0..100)
                .map(|n| (format!("f{n}"), Bson::from(value)))
                .collect()
        };
        assert_eq!(compare(&many(1), &many(2)).len(), MOST_FIELDS);
        let found = compare(&doc! { "a": "ä".repeat(1_000) }, &doc! {});
        assert!(found[0].postgres.as_ref().unwrap().chars().count() <= MOST_CHARS + 1);
    }

    proptest! {
        #[test]
        fn a_document_equals_itself_in_any_order(
            mut members in prop::collection::vec(("[a-f]{1,4}", any::<i32>()), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            members.sort();
            members.dedup_by(|a, b| a.0 == b.0);
            let expected: Document =
                members.iter().map(|(k, v)| (k.clone(), Bson::Int32(*v))).collect();
            if !members.is_empty() {
                let middle = cut.index(members.len());
                members.rotate_left(middle);
            }
            let stored: Document =
                members.iter().map(|(k, v)| (k.clone(), Bson::Double(f64::from(*v)))).collect();
            prop_assert_eq!(compare(&expected, &stored), vec![]);
        }
    }
}
