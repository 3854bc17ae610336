//! Names of the resources that we create on servers.

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_model::timeline::CapturePath;

use crate::pipeline::request::RunRequest;

/// Topic prefix of a path of our own reader.
pub(crate) fn topic_prefix(path: CapturePath, run: &RunId) -> String {
    format!("cdc_bench_{path}_{}", run.as_identifier())
}

/// Replication slot of a path in one round.
pub(crate) fn slot_name(path: CapturePath, run: &RunId, round: u32) -> String {
    let run = run.as_identifier();
    match round {
        0 => format!("cdc_bench_{path}_{run}"),
        round => format!("cdc_bench_{path}_{run}_{round}"),
    }
}

/// Names of a connector of ours, of its slot and of its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectorNames {
    pub(crate) connector: String,
    pub(crate) slot: String,
    pub(crate) topic_prefix: String,
    pub(crate) topic: String,
}

impl ConnectorNames {
    /// Prefix of the name of every connector that a run creates.
    pub(crate) const PREFIX: &'static str = "cdc-bench-run-";

    /// Names for a run. On servers that others may use, each run has a topic of its own: two connectors on one topic would
    /// duplicate every record. The rounds of a run share the topic.
    pub(crate) fn for_run(request: &RunRequest, round: u32, exclusive: bool) -> Self {
        let suffix = format!(".{SCHEMA}.{TABLE}");
        let configured = request.settings.topic.strip_suffix(&suffix);
        let topic_prefix = match configured {
            Some(prefix) if exclusive || request.settings.topic_is_given => prefix.to_owned(),
            _ => format!("cdc_bench_{}", request.id.as_identifier()),
        };
        Self {
            connector: match round {
                0 => format!("{}{}", Self::PREFIX, request.id),
                round => format!("{}{}-{round}", Self::PREFIX, request.id),
            },
            slot: slot_name(CapturePath::Debezium, &request.id, round),
            topic: format!("{topic_prefix}{suffix}"),
            topic_prefix,
        }
    }
}

/// Names of what `setup` creates besides tables, publication and collection; `None` if Debezium cannot feed this topic.
pub(crate) fn permanent_names(topic: &str) -> Option<ConnectorNames> {
    let topic_prefix = topic
        .strip_suffix(&format!(".{SCHEMA}.{TABLE}"))?
        .to_owned();
    Some(ConnectorNames {
        connector: "cdc-bench".to_owned(),
        slot: "cdc_bench_debezium".to_owned(),
        topic: topic.to_owned(),
        topic_prefix,
    })
}
