//! A line: `{"topic", "partition", "offset", "received_at", "written_at", "error"?}`.

use std::borrow::Cow;

use cdc_bench_model::timeline::Stamp;
use serde::Deserialize;
use serde_json::Value;

/// Microseconds of the year 2001, and of 2286: a time in another unit is beyond them.
const MICROSECONDS: std::ops::Range<i64> = 1_000_000_000_000_000..10_000_000_000_000_000;
/// An error's text beyond this is cut off.
const LONGEST_ERROR: usize = 300;

/// A line as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) topic: Cow<'a, str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) received: Option<Stamp>,
    /// When it was written, or why it was not.
    pub(super) written: Result<Stamp, String>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
    #[serde(default)]
    received_at: Value,
    #[serde(default)]
    written_at: Value,
    #[serde(default)]
    error: Value,
}

/// Reads a line. What is wrong with it is said without its text, which may be of anything.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    // An array would be taken for the fields in their order.
    if line.first() != Some(&b'{') {
        return Err("it is no JSON object".to_owned());
    }
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| wrong_json(&error))?;
    if fields.partition < 0 || fields.offset < 0 {
        return Err("partition and offset are from 0 on".to_owned());
    }
    let time =
        |name: &str, value: &Value| time(value).map_err(|wrong| format!("{name} is {wrong}"));
    let written = match error_of(fields.error) {
        Some(error) => Err(error),
        None => {
            let written = time("written_at", &fields.written_at)?;
            Ok(written.ok_or("it has neither written_at nor error")?)
        }
    };
    Ok(Line {
        received: time("received_at", &fields.received_at)?,
        topic: fields.topic,
        partition: fields.partition,
        offset: fields.offset,
        written,
    })
}

/// Why a line's JSON is not taken. Of a value of another type, serde shows the value.
pub(super) fn wrong_json(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => error.to_string(),
        _ => format!("it is no JSON object ({error})"),
    }
}

/// The error of a line; some languages write an absent one as `null`, `""` or `false`.
fn error_of(value: Value) -> Option<String> {
    let mut text = match value {
        Value::Null | Value::Bool(false) => return None,
        Value::String(text) => text,
        other => other.to_string(),
    };
    if let Some((end, _)) = text.char_indices().nth(LONGEST_ERROR) {
        text.truncate(end);
    }
    (!text.is_empty()).then_some(text)
}

/// A time: microseconds since the Unix epoch, or RFC 3339.
pub(super) fn time(value: &Value) -> Result<Option<Stamp>, String> {
    let micros = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => whole(number),
        Value::String(text) => match text.parse() {
            Ok(micros) => Some(micros),
            Err(_) => return date(text).map(Some),
        },
        _ => return Err("neither a number nor a text".to_owned()),
    };
    match micros {
        Some(micros) if MICROSECONDS.contains(&micros) => Ok(Some(Stamp(micros * 1_000))),
        Some(other) => Err(format!("{other}, which looks like {}", unit(other))),
        None => Err("no whole number of microseconds".to_owned()),
    }
}

/// Languages without integers write one as `1.7e15` or `1700000000000000.0`.
#[allow(clippy::cast_possible_truncation)] // of a number that is far below 2^63
fn whole(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let number = number.as_f64()?;
        (number.abs() < 9e18).then_some(number.round() as i64)
    })
}

fn unit(number: i64) -> &'static str {
    match number {
        1_000_000_000..10_000_000_000 => "seconds: microseconds since the epoch are expected",
        1_000_000_000_000..10_000_000_000_000 => {
            "milliseconds: microseconds since the epoch are expected"
        }
        1_000_000_000_000_000_000.. => "nanoseconds: microseconds since the epoch are expected",
        _ => "no time of this century in microseconds since the epoch",
    }
}

fn date(text: &str) -> Result<Stamp, String> {
    let at: jiff::Timestamp = text.parse().map_err(|_| {
        format!("{text:?}, and neither microseconds since the epoch nor RFC 3339 with its zone, such as 2026-11-28T22:00:00.123456Z")
    })?;
    i64::try_from(at.as_nanosecond())
        .map(Stamp)
        .map_err(|_| format!("{text:?}, which is too far away"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Stamp = Stamp(1_732_800_000_123_456_000);

    fn of(rest: &str) -> Result<Line<'static>, String> {
        let line = format!(r#"{{"topic":"t","partition":1,"offset":7,{rest}}}"#);
        parse(line.leak().as_bytes())
    }

    #[test]
    fn a_time_is_microseconds_or_a_date() {
        for time in [
            "1732800000123456",
            "1732800000123456.0",
            "1.732800000123456e15",
            "\"1732800000123456\"",
            "\"2024-11-28T13:20:00.123456Z\"",
            "\"2024-11-28 14:20:00.123456+01:00\"",
        ] {
            let line = of(&format!(r#""written_at":{time},"received_at":{time}"#)).unwrap();
            assert_eq!(line.written, Ok(AT), "{time}");
            assert_eq!(line.received, Some(AT), "{time}");
        }
    }

    #[test]
    fn another_unit_is_told_and_not_taken() {
        for (time, says) in [
            ("1732800000", "seconds"),
            ("1732800000.5", "seconds"),
            ("1732800000123", "milliseconds"),
            ("1732800000123456789", "nanoseconds"),
            ("0", "no time"),
            ("true", "neither"),
            ("\"2024-11-28T13:20:00\"", "zone"),
            ("\"yesterday\"", "RFC 3339"),
        ] {
            let wrong = of(&format!(r#""written_at":{time}"#)).unwrap_err();
            assert!(
                wrong.contains("written_at") && wrong.contains(says),
                "{wrong}"
            );
        }
        assert!(of(r#""written_at":1732800000123456,"received_at":7"#).is_err());
    }

    #[test]
    fn an_error_stands_in_place_of_a_write_unless_it_is_empty() {
        let failed = of(r#""written_at":null,"error":"no room""#).unwrap();
        assert_eq!(failed.written, Err("no room".to_owned()));
        let structured = of(r#""error":{"code":11000}"#).unwrap();
        assert_eq!(structured.written, Err(r#"{"code":11000}"#.to_owned()));
        for none in ["null", "\"\"", "false"] {
            let line = of(&format!(r#""written_at":1732800000123456,"error":{none}"#));
            assert_eq!(line.unwrap().written, Ok(AT), "{none}");
        }
        let long = of(&format!(r#""error":"{}""#, "\u{e4}".repeat(1_000))).unwrap();
        assert_eq!(long.written.unwrap_err().chars().count(), LONGEST_ERROR);
    }

    #[test]
    fn what_is_absent_or_wrong_is_said() {
        for (line, says) in [
            ("INFO started", "no JSON"),
            ("", "no JSON"),
            (r#"["t",0,1,null,1732800000123456,null]"#, "no JSON"),
            (r#"{"topic":"t","partition":0}"#, "offset"),
            (r#"{"topic":"t","partition":"a","offset":1}"#, "i32"),
            (r#"{"topic":"t","partition":-1,"offset":1}"#, "from 0"),
            (r#"{"topic":"t","partition":0,"offset":1}"#, "neither"),
        ] {
            let wrong = parse(line.as_bytes()).unwrap_err();
            assert!(wrong.contains(says), "{line}: {wrong}");
        }
    }
}
