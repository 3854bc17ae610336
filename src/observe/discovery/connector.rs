//! The connector of the pipeline.

use std::collections::BTreeMap;

use cdc_bench_stack::ConnectEndpoint;

use crate::debezium::{ConnectClient, is_postgres_connector};
use crate::observe::request::PipelineRequest;
use crate::pipeline::Failure;

/// A connector, and its configuration, which may hold secrets.
pub(super) struct FoundConnector {
    pub(super) name: String,
    pub(super) config: BTreeMap<String, String>,
    /// Why it does not work, if it does not.
    pub(super) idle: Option<String>,
}

/// The connector that was named, or the only one of Debezium's for PostgreSQL; `None` where Connect's address is not known.
pub(super) async fn find_connector(
    request: &PipelineRequest,
    endpoint: Option<&ConnectEndpoint>,
) -> Result<Option<FoundConnector>, Failure> {
    let refused = |text: String| Failure::usage(anyhow::anyhow!(text));
    let Some(endpoint) = endpoint else {
        if request.connector.is_some() {
            return Err(refused(
                "--connector names a connector, and Kafka Connect's address is not known: set CONNECT_URL (--connect-url)".to_owned(),
            ));
        }
        let has_publication = request.publication.is_some() || request.make_publication;
        if !has_publication || request.topics.is_empty() {
            return Err(refused(
                "what to observe is not known: set CONNECT_URL (--connect-url), so that the connector can be asked, or say it: --publication NAME, --topic NAME, and --table SCHEMA.TABLE for some of its tables only".to_owned(),
            ));
        }
        return Ok(None);
    };
    let connectors = ConnectClient::new(endpoint)?.connectors().await?;
    let mut all: Vec<_> = connectors
        .into_iter()
        .filter(|connector| is_postgres_connector(&connector.config))
        .collect();
    let names = |all: &[crate::debezium::RegisteredConnector]| {
        let names: Vec<_> = all.iter().map(|c| format!("\"{}\"", c.name)).collect();
        names.join(", ")
    };
    if let Some(name) = &request.connector {
        let there = names(&all);
        all.retain(|connector| connector.name == *name);
        if all.is_empty() {
            let there = if there.is_empty() {
                "it has none of Debezium's for PostgreSQL".to_owned()
            } else {
                format!("it has {there}")
            };
            return Err(refused(format!(
                "Kafka Connect at {endpoint} has no PostgreSQL connector \"{name}\": {there}; name one of them (--connector NAME)"
            )));
        }
    }
    if all.len() > 1 {
        return Err(refused(format!(
            "Kafka Connect at {endpoint} has {} PostgreSQL connectors: {}; say which one (--connector NAME)",
            all.len(),
            names(&all)
        )));
    }
    match all.pop() {
        Some(connector) => Ok(Some(FoundConnector {
            name: connector.name,
            config: connector.config,
            idle: connector.idle,
        })),
        None => Err(refused(format!(
            "Kafka Connect at {endpoint} has no connector of Debezium's for PostgreSQL; is it the right Connect (CONNECT_URL)? Without one, say what to observe: --publication NAME, --topic NAME"
        ))),
    }
}
