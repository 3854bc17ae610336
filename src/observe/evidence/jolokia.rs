//! Jolokia's answers: a connector's attributes, by MBean.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::attribute::{Attribute, Names};

/// What is asked for: MBeans and their attributes, as the path of a read request has them.
pub(super) fn paths(names: &Names) -> [String; 2] {
    [
        format!(
            "read/debezium.postgres:type=connector-metrics,context=streaming,server={}/QueueTotalCapacity,QueueRemainingCapacity,MilliSecondsBehindSource",
            escaped(&names.prefix)
        ),
        format!(
            "read/kafka.connect:type=connector-task-metrics,connector={},task=0/batch-size-max",
            escaped(&names.connector)
        ),
    ]
}

/// A slash ends a part of the path.
fn escaped(name: &str) -> String {
    name.replace('!', "!!").replace('/', "!/")
}

#[derive(Deserialize)]
struct Answer {
    status: i64,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    request: Map<String, Value>,
}

/// The attributes of an answer.
///
/// # Errors
/// Jolokia's own words, or that it is no answer of its.
pub(super) fn read(body: &[u8]) -> Result<Vec<(Attribute, f64)>, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| "what answers is not Jolokia".to_owned())?;
    if answer.status != 200 {
        let reason = answer.error.unwrap_or_default();
        return Err(format!("Jolokia answers {}: {reason}", answer.status));
    }
    let values = match answer.value {
        Some(Value::Object(values)) => values,
        // Of a single attribute the value stands alone.
        Some(value) => match answer.request.get("attribute").and_then(Value::as_str) {
            Some(name) => Map::from_iter([(name.to_owned(), value)]),
            None => Map::new(),
        },
        None => Map::new(),
    };
    let known = values.iter();
    let known = known.filter_map(|(name, value)| Some((Attribute::ending(name)?, value.as_f64()?)));
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_one_and_several() {
        let several = br#"{"request":{"type":"read"},"value":{"MilliSecondsBehindSource":480,"QueueTotalCapacity":8192,"QueueRemainingCapacity":8190},"status":200}"#;
        let mut found = read(several).unwrap();
        found.sort_by_key(|(attribute, _)| *attribute);
        assert_eq!(
            found,
            [
                (Attribute::QueueCapacity, 8_192.0),
                (Attribute::QueueFree, 8_190.0),
                (Attribute::BehindSource, 480.0),
            ]
        );
        let one = br#"{"request":{"attribute":"batch-size-max","type":"read"},"value":17.0,"status":200}"#;
        assert_eq!(read(one), Ok(vec![(Attribute::BatchSize, 17.0)]));
    }

    #[test]
    fn a_refusal_is_in_its_words() {
        let refused = br#"{"status":404,"error":"javax.management.InstanceNotFoundException : x"}"#;
        assert!(read(refused).unwrap_err().contains("InstanceNotFound"));
        assert!(read(b"<html>").unwrap_err().contains("not Jolokia"));
    }
}
