//! The connector that writes into the sink, where the same Connect runs it.

use std::collections::BTreeMap;

use cdc_bench_model::observation::diagnosis::{SinkConnectorEvidence, WriteConcernSeen};

use crate::debezium::{RegisteredConnector, is_listed};

/// Settings that are judged. Others may hold secrets, and are not kept.
const JUDGED: [&str; 8] = [
    "tasks.max",
    "max.batch.size",
    "rate.limiting.every.n",
    "rate.limiting.timeout",
    "consumer.override.max.poll.records",
    "consumer.override.fetch.min.bytes",
    "consumer.override.fetch.max.wait.ms",
    "consumer.override.group.id",
];

/// Looks for the connector, and at it.
#[derive(Default)]
pub(super) struct SinkConnectorWatch {
    /// The observed topics, with their partitions.
    topics: Vec<(String, i32)>,
    /// The group that reads them, where it is known.
    group: Option<String>,
    seen: Option<SinkConnectorEvidence>,
}

impl SinkConnectorWatch {
    pub(super) fn new(topics: Vec<(String, i32)>, group: Option<String>) -> Self {
        Self {
            topics,
            group,
            seen: None,
        }
    }

    /// Takes what Connect says of all its connectors. Returns the sink's state where it does not work, and is told for the first time.
    pub(super) fn take(&mut self, all: &[RegisteredConnector]) -> Option<String> {
        let readers = all.iter().filter(|one| self.partitions(&one.config) > 0);
        let known = self.seen.as_ref().map(|seen| seen.connector.name.clone());
        // Several may read the topics: the one whose group is observed, if that is known.
        let found = readers.max_by_key(|one| {
            let is_of_group = self.group.as_deref() == Some(&*group_of(one));
            (is_of_group, known.as_ref() == Some(&one.name))
        })?;
        let partitions = self.partitions(&found.config);
        let seen = self.seen.get_or_insert_default();
        let connector = &mut seen.connector;
        connector.name.clone_from(&found.name);
        connector.polls += 1;
        let judged = JUDGED.into_iter().filter_map(|name| {
            let value = found.config.get(name)?;
            Some((name.to_owned(), value.clone()))
        });
        connector.config = judged.collect();
        seen.partitions = partitions;
        seen.write_concern = found
            .config
            .get("connection.uri")
            .map_or_else(WriteConcernSeen::default, |uri| write_concern(uri));
        let state = found.idle.as_ref()?;
        connector.noticed(state)
    }

    /// Partitions of the observed topics that a connector reads: of a sink one of `topics` and `topics.regex` says which.
    fn partitions(&self, config: &BTreeMap<String, String>) -> u64 {
        let named = config.get("topics").map(|topics| {
            let topics = topics.split(',').map(|topic| topic.trim().to_owned());
            topics.collect::<Vec<_>>()
        });
        let expression = config.get("topics.regex");
        let reads = |topic: &str| {
            let is_named = named
                .as_ref()
                .map(|named| named.iter().any(|name| name == topic));
            is_named.unwrap_or_else(|| {
                // A comma of it divides nothing.
                let expression = expression.map(|expression| expression.replace(',', "\\,"));
                expression.is_some_and(|expression| is_listed(&expression, topic) == Some(true))
            })
        };
        let read = self.topics.iter().filter(|(topic, _)| reads(topic));
        read.map(|(_, partitions)| u64::try_from(*partitions).unwrap_or(0))
            .sum()
    }

    pub(super) fn seen(self) -> Option<SinkConnectorEvidence> {
        self.seen
    }
}

fn group_of(connector: &RegisteredConnector) -> String {
    let named = connector.config.get("consumer.override.group.id");
    named.map_or_else(|| format!("connect-{}", connector.name), Clone::clone)
}

/// What a connection string says of writes: nothing else of it is kept.
fn write_concern(uri: &str) -> WriteConcernSeen {
    let mut seen = WriteConcernSeen::default();
    let Some((_, options)) = uri.rsplit_once('?') else {
        return seen;
    };
    for option in options.split(['&', ';']) {
        let Some((name, value)) = option.split_once('=') else {
            continue;
        };
        // A reference to a secret is not what it stands for.
        let is_plain = value.chars().all(|c| c.is_ascii_alphanumeric());
        match &*name.to_ascii_lowercase() {
            "w" if is_plain => seen.w = Some(value.to_owned()),
            "journal" | "j" => seen.journal = value.to_ascii_lowercase().parse().ok(),
            _ => {}
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(name: &str, config: &[(&str, &str)]) -> RegisteredConnector {
        let config = config.iter();
        RegisteredConnector {
            name: name.to_owned(),
            config: config
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            idle: None,
        }
    }

    fn watch(group: Option<&str>) -> SinkConnectorWatch {
        let topics = vec![
            ("shop.public.orders".to_owned(), 3),
            ("shop.public.customers".to_owned(), 2),
        ];
        SinkConnectorWatch::new(topics, group.map(str::to_owned))
    }

    #[test]
    fn the_connector_that_reads_the_topics_is_found_and_nothing_secret_kept() {
        let mut watch = watch(None);
        let uri = "mongodb://me:s3cret@db:27017/?retryWrites=true&w=majority&journal=true";
        let all = [
            connector("source", &[("topic.prefix", "shop")]),
            connector("other", &[("topics", "invoices")]),
            connector(
                "mongo-sink",
                &[
                    ("topics.regex", r"shop\.public\.(orders|x{1,2})"),
                    ("connection.uri", uri),
                    ("max.batch.size", "1"),
                    ("connection.password", "s3cret"),
                ],
            ),
        ];
        assert_eq!(watch.take(&all), None);
        let seen = watch.seen().unwrap();
        assert_eq!((&*seen.connector.name, seen.partitions), ("mongo-sink", 3));
        assert_eq!(seen.write_concern.w.as_deref(), Some("majority"));
        assert_eq!(seen.write_concern.journal, Some(true));
        assert!(!format!("{seen:?}").contains("s3cret"));
        assert_eq!(seen.connector.number("max.batch.size", 0), 1);
    }

    #[test]
    fn of_several_the_one_of_the_groups_is_taken() {
        let all = [
            connector("a", &[("topics", "shop.public.orders")]),
            connector(
                "b",
                &[("topics", "shop.public.orders, shop.public.customers")],
            ),
            connector("c", &[("topics", "shop.public.orders")]),
        ];
        let mut by_group = watch(Some("connect-b"));
        by_group.take(&all);
        let seen = by_group.seen().unwrap();
        assert_eq!((&*seen.connector.name, seen.partitions), ("b", 5));
    }

    #[test]
    fn a_state_in_which_it_does_not_work_is_told_once() {
        let mut watch = watch(None);
        let mut sink = connector("mongo-sink", &[("topics", "shop.public.orders")]);
        sink.idle = Some("task 0 is PAUSED".to_owned());
        let all = [sink];
        assert_eq!(watch.take(&all).as_deref(), Some("task 0 is PAUSED"));
        assert_eq!(watch.take(&all), None);
        let seen = watch.seen().unwrap().connector;
        assert_eq!(seen.idle.get("task 0 is PAUSED"), Some(&2));
    }

    #[test]
    fn a_connection_string_says_what_it_says_of_writes() {
        for (uri, w, journal) in [
            ("mongodb://db/", None, None),
            ("mongodb://db/?W=2", Some("2"), None),
            ("mongodb://db/?w=0&journal=false", Some("0"), Some(false)),
            ("mongodb://u:p?w=9@db/?w=1", Some("1"), None),
            ("${file:/run/secrets:uri}", None, None),
            ("mongodb://db/?w=${env:W}", None, None),
        ] {
            let seen = write_concern(uri);
            assert_eq!((seen.w.as_deref(), seen.journal), (w, journal), "{uri}");
        }
    }
}
