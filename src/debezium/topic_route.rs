//! The topic that a connector writes a table's changes to: its naming strategy, then its transforms in their order.

use std::collections::BTreeMap;

use regex::Regex;

/// What is known of a topic from a connector's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TopicRoute {
    /// The records go there, in Debezium's envelope.
    Envelopes(String),
    /// They go there unless this part of the configuration, whose effect is not known here, changes it.
    Doubtful(String, String),
    /// Something else than envelopes is written, and why.
    NoEnvelopes(String),
}

/// Transforms that change neither the topic nor the form of the value.
const HARMLESS: [&str; 6] = [
    "org.apache.kafka.connect.transforms.InsertHeader",
    "org.apache.kafka.connect.transforms.DropHeaders",
    "org.apache.kafka.connect.transforms.HeaderFrom",
    "org.apache.kafka.connect.transforms.SetSchemaMetadata",
    "io.debezium.transforms.tracing.ActivateTracingSpan",
    "io.debezium.transforms.ExtractSchemaToNewRecord",
];

/// The topic of a table, in whatever form its records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableTopic {
    /// The records go there.
    Known(String),
    /// They go there unless this part of the configuration, whose effect is not known here, changes it.
    Doubtful(String, String),
    /// The topic depends on the row, and how.
    ByRow(String),
}

/// The topic that a connector of this configuration writes the records of `schema.table` to.
#[must_use]
pub fn table_topic(config: &BTreeMap<String, String>, schema: &str, table: &str) -> TableTopic {
    let route = route(config, schema, table);
    match (route.by_row, route.doubt) {
        (Some(how), _) => TableTopic::ByRow(how),
        (None, Some(doubt)) => TableTopic::Doubtful(route.topic, doubt),
        (None, None) => TableTopic::Known(route.topic),
    }
}

/// The route of `schema.table`, where envelopes are wanted.
pub(super) fn topic_route(
    config: &BTreeMap<String, String>,
    schema: &str,
    table: &str,
) -> TopicRoute {
    let route = route(config, schema, table);
    match (route.by_row.or(route.no_envelope), route.doubt) {
        (Some(why), _) => TopicRoute::NoEnvelopes(why),
        (None, Some(doubt)) => TopicRoute::Doubtful(route.topic, doubt),
        (None, None) => TopicRoute::Envelopes(route.topic),
    }
}

/// What the configuration makes of a table's records.
struct Route {
    topic: String,
    doubt: Option<String>,
    /// Why they are without an envelope.
    no_envelope: Option<String>,
    /// How the topic follows from the row.
    by_row: Option<String>,
}

fn route(config: &BTreeMap<String, String>, schema: &str, table: &str) -> Route {
    let get = |key: &str| config.get(key).map(String::as_str);
    let delimiter = get("topic.delimiter").unwrap_or(".");
    let prefix = get("topic.prefix").unwrap_or_default();
    let mut topic = [prefix, schema, table].join(delimiter);
    let (mut doubt, mut no_envelope, mut by_row) = (None, None, None);
    if is_placeholder(prefix) {
        doubt = Some(format!("topic.prefix is {prefix}"));
    }
    if let Some(strategy) = get("topic.naming.strategy") {
        match strategy.rsplit('.').next().unwrap_or_default() {
            "SchemaTopicNamingStrategy"
            | "DefaultTopicNamingStrategy"
            | "SchemaUnicodeTopicNamingStrategy" => {}
            "DefaultRegexTopicNamingStrategy" => {
                match rewritten(&topic, get("topic.regex"), get("topic.replacement")) {
                    Some(renamed) => topic = renamed,
                    None => doubt = Some("topic.regex cannot be read here".to_owned()),
                }
            }
            _ => doubt = Some(format!("topic.naming.strategy is {strategy}")),
        }
    }
    let transforms = get("transforms").unwrap_or_default().split(',');
    for name in transforms.map(str::trim).filter(|name| !name.is_empty()) {
        let of = |key: &str| get(&format!("transforms.{name}.{key}"));
        let kind = of("type").unwrap_or_default();
        if of("predicate").is_some() {
            doubt = Some(format!("transform {name} applies by a predicate"));
            continue;
        }
        if kind.ends_with("$Key") {
            continue;
        }
        let short = kind.split('$').next().unwrap_or_default();
        match short.rsplit('.').next().unwrap_or_default() {
            "RegexRouter" => match rewritten(&topic, of("regex"), of("replacement")) {
                Some(renamed) => topic = renamed,
                None => doubt = Some(format!("transforms.{name}.regex cannot be read here")),
            },
            "ByLogicalTableRouter" => {
                match rewritten(&topic, of("topic.regex"), of("topic.replacement")) {
                    Some(renamed) => topic = renamed,
                    None => {
                        doubt = Some(format!("transforms.{name}.topic.regex cannot be read here"));
                    }
                }
            }
            "EventRouter" => {
                let to = of("route.topic.replacement").unwrap_or("outbox.event.${routedByValue}");
                by_row.get_or_insert_with(|| {
                    format!("its transform {name} (EventRouter) sends the payload alone, to {to}")
                });
            }
            short @ ("ExtractNewRecordState" | "ExtractField" | "Flatten" | "HoistField") => {
                no_envelope.get_or_insert_with(|| {
                    format!("its transform {name} ({short}) takes Debezium's envelope away")
                });
            }
            _ if HARMLESS.contains(&short) => {}
            _ => {
                doubt = Some(format!(
                    "what transform {name} ({kind}) does is not known here"
                ))
            }
        }
    }
    Route {
        topic,
        doubt,
        no_envelope,
        by_row,
    }
}

/// Whether a value is filled in by a configuration provider of Connect's, such as `${file:/etc/x:y}`.
pub(super) fn is_placeholder(value: &str) -> bool {
    value.contains("${")
}

/// A topic as `RegexRouter` and its relatives rename it: where the expression matches the whole name. `None` if the expression
/// is not one that can be read here.
fn rewritten(topic: &str, expression: Option<&str>, replacement: Option<&str>) -> Option<String> {
    let whole = Regex::new(&format!("^(?:{})$", expression?)).ok()?;
    let Some(groups) = whole.captures(topic) else {
        return Some(topic.to_owned());
    };
    expanded(replacement?, &groups)
}

/// The replacement with its groups, in Java's notation: `$1`, `${name}`, `\$`.
fn expanded(replacement: &str, groups: &regex::Captures<'_>) -> Option<String> {
    let mut text = String::new();
    let mut rest = replacement.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => text.push(rest.next()?),
            '$' if rest.next_if_eq(&'{').is_some() => {
                let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                text += groups.name(&name)?.as_str();
            }
            '$' => {
                // A second digit belongs to the number as long as there is such a group.
                let digit = |c: char| c.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                let mut number = digit(rest.next()?)?;
                while let Some(longer) = rest.peek().copied().and_then(digit)
                    && number * 10 + longer < groups.len()
                {
                    number = number * 10 + longer;
                    rest.next();
                }
                text += groups.get(number).map_or("", |group| group.as_str());
            }
            character => text.push(character),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(settings: &[(&str, &str)]) -> TopicRoute {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let config = settings.iter().map(own).collect();
        topic_route(&config, "activity", "event_outbox")
    }

    #[test]
    fn the_topic_follows_the_naming_and_the_transforms_in_their_order() {
        let regex = "org.apache.kafka.connect.transforms.RegexRouter";
        for (settings, topic) in [
            (&[("topic.prefix", "p")][..], "p.activity.event_outbox"),
            (
                &[("topic.prefix", "p"), ("topic.delimiter", "-")],
                "p-activity-event_outbox",
            ),
            (
                &[
                    ("topic.prefix", "p"),
                    ("transforms", "cut"),
                    ("transforms.cut.type", regex),
                    ("transforms.cut.regex", r"([^.]+)\.([^.]+)\.([^.]+)"),
                    ("transforms.cut.replacement", "$3"),
                ],
                "event_outbox",
            ),
            (
                // It has to match the whole name.
                &[
                    ("topic.prefix", "p"),
                    ("transforms", "cut"),
                    ("transforms.cut.type", regex),
                    ("transforms.cut.regex", "event_outbox"),
                    ("transforms.cut.replacement", "x"),
                ],
                "p.activity.event_outbox",
            ),
            (
                &[
                    ("topic.prefix", "p"),
                    ("transforms", " a , b "),
                    (
                        "transforms.a.type",
                        "io.debezium.transforms.ByLogicalTableRouter",
                    ),
                    ("transforms.a.topic.regex", "(.*)outbox"),
                    ("transforms.a.topic.replacement", "$1all"),
                    ("transforms.b.type", regex),
                    ("transforms.b.regex", r"(?<head>p\.).*"),
                    ("transforms.b.replacement", r"${head}c\$d$10"),
                ],
                "p.c$dp.0",
            ),
            (
                &[
                    ("topic.prefix", "p"),
                    (
                        "topic.naming.strategy",
                        "io.debezium.schema.DefaultRegexTopicNamingStrategy",
                    ),
                    ("topic.regex", r"(\w+)\.(.*)"),
                    ("topic.replacement", "all.$2"),
                ],
                "all.activity.event_outbox",
            ),
            (
                &[
                    ("topic.prefix", "p"),
                    ("transforms", "h,k"),
                    (
                        "transforms.h.type",
                        "org.apache.kafka.connect.transforms.InsertHeader",
                    ),
                    (
                        "transforms.k.type",
                        "org.apache.kafka.connect.transforms.ExtractField$Key",
                    ),
                ],
                "p.activity.event_outbox",
            ),
        ] {
            assert_eq!(route(settings), TopicRoute::Envelopes(topic.to_owned()));
        }
    }

    #[test]
    fn what_is_not_known_is_a_doubt_and_what_is_no_envelope_is_none() {
        for settings in [
            &[("topic.prefix", "${file:/x:p}")][..],
            &[
                ("topic.prefix", "p"),
                ("topic.naming.strategy", "com.acme.Names"),
            ],
            &[
                ("topic.prefix", "p"),
                ("transforms", "t"),
                ("transforms.t.type", "com.acme.Router"),
            ],
            &[
                ("topic.prefix", "p"),
                ("transforms", "t"),
                (
                    "transforms.t.type",
                    "org.apache.kafka.connect.transforms.RegexRouter",
                ),
                ("transforms.t.regex", "(?!x).*"),
                ("transforms.t.replacement", "y"),
            ],
        ] {
            assert!(
                matches!(route(settings), TopicRoute::Doubtful(..)),
                "{settings:?}"
            );
        }
        for kind in [
            "io.debezium.transforms.outbox.EventRouter",
            "io.debezium.transforms.ExtractNewRecordState",
            "org.apache.kafka.connect.transforms.ExtractField$Value",
        ] {
            let settings = [
                ("topic.prefix", "p"),
                ("transforms", "t"),
                ("transforms.t.type", kind),
            ];
            assert!(
                matches!(route(&settings), TopicRoute::NoEnvelopes(_)),
                "{kind}"
            );
        }
    }
}
