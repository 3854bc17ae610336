//! Whether the sink's rows have the keys of their changes. Where none of many writes is of a change that is known, and its key has
//! another form, they have others; with the same form, the sink may be behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// Writes in the sink, and changes expected there, before their keys are judged.
const ENOUGH: u64 = 20;

/// Keys of the sink that are not those of the changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherKeys {
    /// The table.
    pub table: Arc<str>,
    /// A key as the sink has it.
    pub in_sink: Arc<str>,
    /// A key as records have it.
    pub in_record: Arc<str>,
}

/// Names of a key's columns, each with its value's type; of a single value its type alone.
fn form(key: &str) -> BTreeMap<String, &'static str> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match serde_json::from_str(key) {
        Ok(Value::Object(columns)) => {
            let columns = columns.iter();
            columns
                .map(|(name, value)| (name.clone(), kind(value)))
                .collect()
        }
        Ok(single) => BTreeMap::from([(String::new(), kind(&single))]),
        Err(_) => BTreeMap::new(),
    }
}

/// What was seen of keys so far.
#[derive(Debug, Default)]
pub(super) struct SinkKeys {
    expected: u64,
    /// Table and key of the last change that was expected.
    last_expected: Option<(Arc<str>, Arc<str>)>,
    /// Writes that were of no change when they came.
    early: u64,
    last_early: Option<(Arc<str>, Arc<str>)>,
    /// Whether there is nothing more to find out.
    is_settled: bool,
}

impl SinkKeys {
    pub(super) fn expected(&mut self, row: &(Arc<str>, Arc<str>)) {
        if !self.is_settled {
            self.expected += 1;
            self.last_expected = Some(row.clone());
        }
    }

    pub(super) fn early(&mut self, row: (Arc<str>, Arc<str>)) {
        if !self.is_settled {
            self.early += 1;
            self.last_early = Some(row);
        }
    }

    /// A write was of a change.
    pub(super) fn matched(&mut self) {
        self.is_settled = true;
    }

    /// The keys, once, if they are others.
    pub(super) fn take_other(&mut self) -> Option<OtherKeys> {
        if self.is_settled || self.early < ENOUGH || self.expected < ENOUGH {
            return None;
        }
        let (table, in_sink) = self.last_early.clone()?;
        let (expected, in_record) = self.last_expected.clone()?;
        // Of two tables, one may be idle.
        if table != expected || form(&in_sink) == form(&in_record) {
            return None;
        }
        self.is_settled = true;
        Some(OtherKeys {
            table,
            in_sink,
            in_record,
        })
    }
}
