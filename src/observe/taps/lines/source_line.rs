//! A line of the application: `{"table", "key", "inserted_at", "returned_at"?}`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use cdc_bench_model::observation::{SourceLine, canonical_key};
use cdc_bench_model::timeline::Stamp;
use serde::Deserialize;
use serde_json::Value;

use super::line::{time, wrong_json};
use crate::observe::discovery::ObservedTable;
use crate::observe::taps::sighting::SourceLineProblem;

/// The observed tables by every name that a line may call them.
#[derive(Debug)]
pub(super) struct SourceTables(HashMap<String, KnownTable>);

#[derive(Debug, Clone)]
struct KnownTable {
    name: Arc<str>,
    /// The column of its key, where it is a single one: a line may have its value alone.
    key_column: Option<String>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    key: Value,
    #[serde(default)]
    inserted_at: Value,
    #[serde(default)]
    returned_at: Value,
}

impl SourceTables {
    pub(super) fn of<'a>(tables: impl Iterator<Item = &'a ObservedTable>) -> Self {
        let mut names = HashMap::new();
        for table in tables {
            let known = KnownTable {
                name: Arc::clone(&table.name),
                key_column: match &table.key[..] {
                    [column] => Some(column.clone()),
                    _ => None,
                },
            };
            names.insert(table.name.to_string(), known.clone());
            if table.schema == "public" {
                names.insert(table.table.clone(), known);
            }
        }
        Self(names)
    }

    /// What a line says that came at `reported`.
    pub(super) fn read(
        &self,
        line: &[u8],
        reported: Stamp,
    ) -> Result<SourceLine, SourceLineProblem> {
        let wrong = SourceLineProblem::Unreadable;
        // An array would be taken for the fields in their order.
        if line.first() != Some(&b'{') {
            return Err(wrong("it is no JSON object".to_owned()));
        }
        let fields: Fields<'_> =
            serde_json::from_slice(line).map_err(|error| wrong(wrong_json(&error)))?;
        let Some(table) = self.0.get(&*fields.table) else {
            return Err(SourceLineProblem::OtherTable(fields.table.into_owned()));
        };
        let key = match (fields.key, &table.key_column) {
            (Value::Object(columns), _) => Value::Object(columns),
            (value, Some(column)) if !value.is_null() => serde_json::json!({ column: value }),
            _ => {
                return Err(wrong(
                    "its key is no JSON object of the key's columns".to_owned(),
                ));
            }
        };
        let key = canonical_key(key.to_string().as_bytes());
        let key = key.ok_or_else(|| wrong("its key cannot be read".to_owned()))?;
        let stamp = |name: &str, value: &Value| {
            time(value).map_err(|why| wrong(format!("{name} is {why}")))
        };
        let inserted = stamp("inserted_at", &fields.inserted_at)?;
        let returned = stamp("returned_at", &fields.returned_at)?;
        let inserted = inserted.ok_or_else(|| wrong("it has no inserted_at".to_owned()))?;
        if returned.is_some_and(|returned| returned < inserted) {
            return Err(wrong(
                "its returned_at is before its inserted_at".to_owned(),
            ));
        }
        Ok(SourceLine {
            table: Arc::clone(&table.name),
            key: key.into(),
            inserted,
            returned,
            reported,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_732_800_000_123_456;

    fn tables() -> SourceTables {
        let table = |schema: &str, name: &str, key: &[&str]| ObservedTable {
            name: format!("{schema}.{name}").into(),
            schema: schema.to_owned(),
            table: name.to_owned(),
            key: key.iter().map(|column| (*column).to_owned()).collect(),
        };
        let observed = [
            table("public", "orders", &["id"]),
            table("shop", "lines", &["order", "number"]),
        ];
        SourceTables::of(observed.iter())
    }

    fn read(line: &str) -> Result<SourceLine, SourceLineProblem> {
        tables().read(line.as_bytes(), Stamp(0))
    }

    #[test]
    fn a_line_names_a_row_and_when_its_statement_was_sent() {
        for (table, key, name, canonical) in [
            (
                "public.orders",
                "{\"id\": 7}",
                "public.orders",
                "{\"id\":7}",
            ),
            ("orders", "7", "public.orders", "{\"id\":7}"),
            (
                "shop.lines",
                "{\"order\":\"a\",\"number\":2}",
                "shop.lines",
                "{\"number\":2,\"order\":\"a\"}",
            ),
        ] {
            let line = format!(
                "{{\"table\":\"{table}\",\"key\":{key},\"inserted_at\":{AT},\"returned_at\":\"2026-11-28T22:00:00Z\"}}"
            );
            let found = read(&line).unwrap();
            assert_eq!((&*found.table, &*found.key), (name, canonical));
            assert_eq!(found.inserted, Stamp(AT * 1_000));
            assert!(found.returned.is_some());
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let other = read("{\"table\":\"lines\",\"key\":{},\"inserted_at\":1}");
        assert_eq!(
            other,
            Err(SourceLineProblem::OtherTable("lines".to_owned()))
        );
        for (line, words) in [
            ("[]", "no JSON object"),
            ("{\"table\":\"orders\"", "no JSON object"),
            ("{\"table\":\"orders\",\"key\":7}", "no inserted_at"),
            (
                "{\"table\":\"shop.lines\",\"key\":7,\"inserted_at\":1732800000123456}",
                "no JSON object of the key's columns",
            ),
            (
                "{\"table\":\"orders\",\"key\":7,\"inserted_at\":1732800000123}",
                "milliseconds: microseconds since the epoch are expected",
            ),
            (
                "{\"table\":\"orders\",\"key\":7,\"inserted_at\":1732800000123456,\"returned_at\":1732800000123400}",
                "before its inserted_at",
            ),
        ] {
            let Err(SourceLineProblem::Unreadable(wrong)) = read(line) else {
                panic!("{line}");
            };
            assert!(wrong.contains(words), "{line}: {wrong}");
        }
    }
}
