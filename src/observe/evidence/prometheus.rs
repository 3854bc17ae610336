//! Prometheus' text format, as the JMX exporter writes a connector's metrics. What a metric is called depends on the exporter's
//! rules; the attribute's name is at the end of it.

use super::attribute::{Attribute, Names};

/// The value of each attribute of this connector that the text has.
pub(super) fn read(text: &str, names: &Names) -> Vec<(Attribute, f64)> {
    let samples = text.lines().filter_map(sample);
    let of_connector = samples.filter(|(_, labels, _)| is_of(labels, names));
    let known = of_connector.filter_map(|(name, _, value)| Some((Attribute::ending(name)?, value)));
    known.collect()
}

/// Labels, and their values.
type Labels<'a> = Vec<(&'a str, String)>;

/// `name{label="value",...} value [time]`.
fn sample(line: &str) -> Option<(&str, Labels<'_>, f64)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// The labels, and what is behind their brace.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start().strip_prefix('"')?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        rest = loop {
            match chars.next()? {
                (at, '"') => break &after[at + 1..],
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.trim(), value));
    }
}

/// Whether a sample is of this connector, as far as its labels say.
fn is_of(labels: &Labels<'_>, names: &Names) -> bool {
    labels.iter().all(|(label, value)| match *label {
        "context" => value == "streaming",
        "server" | "name" | "connector" => [&names.prefix, &names.connector].contains(&value),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP debezium_metrics_MilliSecondsBehindSource x
# TYPE debezium_metrics_MilliSecondsBehindSource gauge
debezium_metrics_MilliSecondsBehindSource{context="streaming",name="shop",plugin="postgres",} 480.0
debezium_metrics_MilliSecondsBehindSource{context="streaming",name="other",plugin="postgres",} 9.0
debezium_metrics_QueueTotalCapacity{context="snapshot",name="shop"} 1.0
debezium_postgres_connector_metrics_queueremainingcapacity{context="streaming", server="shop"} 8192.0 1700000000000
debezium_postgres_connector_metrics_queuetotalcapacity{context="streaming",server="shop"} 8.192E3
kafka_connect_connector_task_metrics_batch_size_max{connector="shop-\"connector\"",task="0"} 17
kafka_connect_source_task_metrics_batch_size_avg{connector="shop",task="0"} NaN
broken{a="b
jvm_threads_current 33.0
"#;

    #[test]
    fn a_connectors_samples_are_found_whatever_their_beginning() {
        let names = Names {
            prefix: "shop".to_owned(),
            connector: "shop-\"connector\"".to_owned(),
        };
        assert_eq!(
            read(TEXT, &names),
            [
                (Attribute::BehindSource, 480.0),
                (Attribute::QueueFree, 8_192.0),
                (Attribute::QueueCapacity, 8_192.0),
                (Attribute::BatchSize, 17.0),
            ]
        );
    }
}
