//! Values as Debezium writes them in every form.

use crate::observe::records::outline::Part;
use cdc_bench_model::observation::Operation;

/// Debezium's letter for an operation.
pub(super) fn operation(letter: &str) -> Result<Operation, String> {
    Ok(match letter {
        "c" => Operation::Create,
        "u" => Operation::Update,
        "d" => Operation::Delete,
        "t" => Operation::Truncate,
        "r" => Operation::Read,
        "m" => Operation::Message,
        other => {
            return Err(format!(
                "its operation is {other:?}, which Debezium has not"
            ));
        }
    })
}

/// Whether Debezium's `source.snapshot` says that a snapshot read the row. It has been a flag, a word, and absent.
pub(super) fn is_snapshot(part: &Part) -> bool {
    match part {
        Part::Flag(flag) => *flag,
        Part::Text(word) => word != "false",
        _ => false,
    }
}

/// A time of Debezium's, in the unit of the field that has it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    ns: Option<i64>,
    us: Option<i64>,
    ms: Option<i64>,
}

impl Times {
    pub fn of(integer: impl Fn(&str) -> Option<i64>) -> Self {
        Self {
            ns: integer("ts_ns"),
            us: integer("ts_us"),
            ms: integer("ts_ms"),
        }
    }

    /// Microseconds since the Unix epoch.
    pub fn micros(self) -> Option<i64> {
        let of_ns = || self.ns.map(|ns| ns.div_euclid(1_000));
        let of_ms = || self.ms.and_then(|ms| ms.checked_mul(1_000));
        self.us.or_else(of_ns).or_else(of_ms)
    }

    /// Microseconds.
    pub fn resolution(self) -> i64 {
        match (self.us, self.ns) {
            (None, None) => 1_000,
            _ => 1,
        }
    }
}

pub(super) fn unsigned(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok())
}

/// What JsonConverter with `schemas.enable=true` wrapped.
pub(super) fn unwrapped(value: Part) -> Part {
    match value {
        Part::Fields(mut fields)
            if fields.members == 2
                && fields.has("payload")
                && fields.has("schema")
                && matches!(fields.get("schema"), Part::Null | Part::SkippedObject) =>
        {
            fields.take("payload")
        }
        value => value,
    }
}
