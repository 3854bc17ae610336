//! Names of the resources that we create on servers.

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, Shard, TABLE};
use cdc_bench_model::timeline::CapturePath;

use crate::pipeline::failure::Failure;
use crate::pipeline::request::RunRequest;

/// Topic prefix of a shard on a path of our own reader.
pub(crate) fn topic_prefix(path: CapturePath, run: &RunId, shard: Shard) -> String {
    shard.named(&format!("cdc_bench_{path}_{}", run.as_identifier()), '_')
}

/// The topic of a shard, as Debezium names it.
pub(crate) fn topic_name(prefix: &str, shard: Shard) -> String {
    format!("{prefix}.{SCHEMA}.{}", shard.table())
}

/// Replication slot of a shard on a path in one round.
pub(crate) fn slot_name(path: CapturePath, run: &RunId, round: u32, shard: Shard) -> String {
    let run = run.as_identifier();
    let first = match round {
        0 => format!("cdc_bench_{path}_{run}"),
        round => format!("cdc_bench_{path}_{run}_{round}"),
    };
    shard.named(&first, '_')
}

/// Replication slot of the reader that only observes a shard.
pub(crate) fn observer_slot_name(run: &RunId, shard: Shard) -> String {
    shard.named(&format!("cdc_bench_reader_{}", run.as_identifier()), '_')
}

/// Names of a connector of ours, of its slot and of its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectorNames {
    pub(crate) connector: String,
    pub(crate) slot: String,
    pub(crate) topic_prefix: String,
    pub(crate) topic: String,
    /// The shard that it captures.
    pub(crate) shard: Shard,
}

impl ConnectorNames {
    /// Prefix of the name of every connector that a run creates.
    pub(crate) const PREFIX: &'static str = "cdc-bench-run-";

    /// Names for a shard of a run. Each connector has a topic prefix of its own, by which Debezium names what it measures of itself: two
    /// on one worker would be in each other's way. On servers that others may use, each run has a topic of its own: two connectors on one topic would
    /// duplicate every record. The rounds of a run share the topic.
    pub(crate) fn for_run(
        request: &RunRequest,
        (round, shard): (u32, Shard),
        exclusive: bool,
    ) -> Self {
        let suffix = format!(".{SCHEMA}.{TABLE}");
        let configured = request.settings.topic.strip_suffix(&suffix);
        let topic_prefix = match configured {
            Some(prefix) if exclusive || request.settings.topic_is_given => prefix.to_owned(),
            _ => format!("cdc_bench_{}", request.id.as_identifier()),
        };
        let topic_prefix = shard.named(&topic_prefix, '_');
        let connector = match round {
            0 => format!("{}{}", Self::PREFIX, request.id),
            round => format!("{}{}-{round}", Self::PREFIX, request.id),
        };
        Self {
            connector: shard.named(&connector, '-'),
            slot: slot_name(CapturePath::Debezium, &request.id, round, shard),
            topic: topic_name(&topic_prefix, shard),
            topic_prefix,
            shard,
        }
    }
}

/// Names of what `setup` creates besides tables, publication and collection.
///
/// # Errors
/// As [`topic_prefix_of`].
pub(crate) fn permanent_names(topic: &str) -> Result<ConnectorNames, Failure> {
    Ok(ConnectorNames {
        connector: "cdc-bench".to_owned(),
        slot: "cdc_bench_debezium".to_owned(),
        topic: topic.to_owned(),
        topic_prefix: topic_prefix_of(topic)?.to_owned(),
        shard: Shard::FIRST,
    })
}

/// The `topic.prefix` of a connector of ours that feeds this topic.
///
/// # Errors
/// When its topics cannot have this name.
pub(crate) fn topic_prefix_of(topic: &str) -> Result<&str, Failure> {
    let prefix = topic.strip_suffix(&format!(".{SCHEMA}.{TABLE}"));
    prefix.filter(|prefix| !prefix.is_empty()).ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "a connector of our own cannot feed topic \"{topic}\": Debezium names its topics PREFIX.{SCHEMA}.{TABLE}; choose such a name (KAFKA_TOPIC), or name the connector that feeds it (run --connector NAME)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cdc_bench_model::event::Shards;

    use super::*;

    #[test]
    fn each_shard_has_names_of_its_own_and_the_first_has_the_usual_ones() {
        let run = RunId::parse("20261124-101500-7f3a9c").unwrap();
        let (wal, shards) = (CapturePath::Wal, Shards::new(Shards::MOST).unwrap());
        let names = |shard| {
            [
                slot_name(wal, &run, 0, shard),
                slot_name(wal, &run, 12, shard),
                slot_name(CapturePath::Debezium, &run, 0, shard),
                observer_slot_name(&run, shard),
                topic_name(&topic_prefix(wal, &run, shard), shard),
            ]
        };
        let all: BTreeSet<_> = shards.iter().flat_map(names).collect();
        assert_eq!(all.len(), 5 * usize::from(Shards::MOST));
        let [slot, .., topic] = names(Shard::FIRST);
        assert_eq!(slot, "cdc_bench_wal_20261124_101500_7f3a9c");
        assert_eq!(topic, format!("{slot}.activity.event_outbox"));
        let [second, _, debezium, observer, topic] = names(shards.iter().nth(1).unwrap());
        assert_eq!(second, format!("{slot}_s2"));
        assert_eq!(topic, format!("{slot}_s2.activity.event_outbox_2"));
        // PostgreSQL's limit of a name.
        assert!(
            [second, debezium, observer]
                .iter()
                .all(|name| name.len() < 64)
        );
    }

    #[test]
    fn a_topic_that_no_connector_of_ours_can_feed_is_refused() {
        let names = permanent_names("shop.activity.event_outbox").unwrap();
        assert_eq!(names.topic_prefix, "shop");
        for topic in [
            "compacted",
            "activity.event_outbox",
            ".activity.event_outbox",
            "",
        ] {
            let failure = topic_prefix_of(topic).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{topic}");
            assert!(failure.to_string().contains("PREFIX.activity.event_outbox"));
        }
    }
}
