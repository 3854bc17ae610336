//! The connector that feeds the topic already, among those that are registered.

use cdc_bench_model::report::ConnectorReport;

use crate::debezium::{
    ConnectClient, Feeding, RegisteredConnector, SourceDatabase, feeding, outbox_topic,
};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::names::ConnectorNames;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::outbox_publications;
use crate::pipeline::request::RunRequest;

/// Whether there is a connector that feeds the topic.
pub(crate) enum ExistingConnector {
    /// One that was found, or named by the user, with the topic it feeds.
    Connector(String, ConnectorReport),
    /// Connect's address is unknown: there may be one.
    Unknown,
    /// There is none.
    None,
}

/// Looks for a connector that feeds the topic. On a kept stack only one that `setup` has registered is looked for.
///
/// # Errors
/// When the connector that the user names does not feed the topic, when several may, or when the one that does is not running.
pub(crate) async fn find_existing(
    servers: &ServerClients,
    request: &RunRequest,
    is_kept: bool,
) -> Result<ExistingConnector, Failure> {
    let settings = &request.settings;
    let Some(connect) = &servers.connect else {
        if request.describes_connector() {
            return Err(Failure::usage(anyhow::anyhow!(
                "a connector of our own needs CONNECT_URL (--connect-url)"
            )));
        }
        return Ok(ExistingConnector::Unknown);
    };
    if request.describes_connector() {
        return Ok(ExistingConnector::None);
    }
    if let Some(name) = &request.connector.connector {
        let config = connect.config(name).await?;
        let topic = outbox_topic(&config).filter(|_| !settings.topic_is_given);
        let topic = topic.unwrap_or_else(|| settings.topic.clone());
        let found = feeding(&config, &source_database(servers).await?, &topic);
        let named = "it was named (--connector)";
        let why = match found {
            Feeding::No(why) => {
                return Err(Failure::usage(anyhow::anyhow!(
                    "connector \"{name}\" does not feed topic \"{topic}\" with this outbox: {why}; name another (--connector NAME), or leave it out: then the run registers one of its own"
                )));
            }
            Feeding::Yes(why) => format!("{named}; {why}"),
            Feeding::Doubtful(doubt) => format!("{named}, although {doubt}"),
        };
        let status = connect.status(name).await?;
        if let Some(idle) = status.idle() {
            return Err(not_running(name, &topic, &idle));
        }
        let connector = RegisteredConnector {
            name: name.clone(),
            config,
            idle: None,
        };
        return Ok(found_one(connect, topic, connector, why).await);
    }
    let found = find_feeding(servers, &settings.topic, is_kept).await?;
    Ok(match found {
        Some((connector, why)) => found_one(connect, settings.topic.clone(), connector, why).await,
        None => ExistingConnector::None,
    })
}

async fn found_one(
    connect: &ConnectClient,
    topic: String,
    connector: RegisteredConnector,
    why: String,
) -> ExistingConnector {
    let report = ConnectorReport {
        name: connector.name,
        profile: None,
        chosen: Some(why),
        config: connect.redacted(&connector.config).await,
    };
    ExistingConnector::Connector(topic, report)
}

/// The registered connector that feeds a topic, and how that is known. Connectors of runs do not count: they are removed with
/// their runs.
///
/// # Errors
/// When there are several, or the one that does is not running.
pub(crate) async fn find_feeding(
    servers: &ServerClients,
    topic: &str,
    is_kept: bool,
) -> Result<Option<(RegisteredConnector, String)>, Failure> {
    let Some(connect) = &servers.connect else {
        return Ok(None);
    };
    let mut all = connect.connectors().await?;
    all.retain(|connector| !connector.name.starts_with(ConnectorNames::PREFIX));
    if is_kept {
        let entries = servers.registry.entries().await?;
        all.retain(|connector| {
            let is_it = |name: &str| name == connector.name;
            let mut entries = entries.iter();
            entries.any(|entry| entry.kind == ResourceKind::Connector && is_it(&entry.name))
        });
    }
    if all.is_empty() {
        return Ok(None);
    }
    let source = source_database(servers).await?;
    let judged = all.into_iter().map(|connector| {
        let feeding = feeding(&connector.config, &source, topic);
        (connector, feeding)
    });
    choose(judged.collect(), topic)
}

/// The one that is known to feed the topic; without one, the one that may.
fn choose(
    judged: Vec<(RegisteredConnector, Feeding)>,
    topic: &str,
) -> Result<Option<(RegisteredConnector, String)>, Failure> {
    let (mut certain, mut doubtful) = (Vec::new(), Vec::new());
    for (connector, feeding) in judged {
        match feeding {
            Feeding::Yes(why) => certain.push((connector, why)),
            Feeding::Doubtful(doubt) => {
                let why = format!("it may feed {topic}: {doubt}");
                doubtful.push((connector, why));
            }
            Feeding::No(why) => {
                tracing::debug!(connector = connector.name, why, "does not feed the topic");
            }
        }
    }
    let mut candidates = if certain.is_empty() {
        doubtful
    } else {
        certain
    };
    let Some((connector, why)) = candidates.pop() else {
        return Ok(None);
    };
    if !candidates.is_empty() {
        candidates.push((connector, why));
        let each = candidates
            .iter()
            .map(|(connector, why)| format!("\"{}\" ({why})", connector.name));
        let each: Vec<_> = each.collect();
        return Err(Failure::usage(anyhow::anyhow!(
            "{} connectors may feed topic \"{topic}\": {}; say which one (--connector NAME), or ask for one of our own (--connector-profile low-latency)",
            each.len(),
            each.join(", ")
        )));
    }
    if let Some(idle) = &connector.idle {
        return Err(not_running(&connector.name, topic, idle));
    }
    tracing::info!(
        connector = connector.name,
        why,
        "the connector of the topic"
    );
    Ok(Some((connector, why)))
}

fn not_running(name: &str, topic: &str, idle: &str) -> Failure {
    Failure::usage(anyhow::anyhow!(
        "connector \"{name}\" feeds topic \"{topic}\", but it is {idle}; start it (PUT /connectors/{name}/resume, or POST /connectors/{name}/restart?includeTasks=true), name another (--connector NAME), or ask for one of our own (--connector-profile low-latency)"
    ))
}

/// What connectors are compared with.
async fn source_database(servers: &ServerClients) -> Result<SourceDatabase, Failure> {
    let question =
        "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()";
    let rows = servers.postgres.query(question, &[]).await?;
    let publications = outbox_publications(&servers.postgres).await?;
    let publications = publications.into_iter().map(|publication| {
        let gap = publication.gap.as_ref().map(ToString::to_string);
        (publication.name, gap)
    });
    let postgres = &servers.endpoints.postgres;
    let by_connect = servers.endpoints.postgres_for_connect.iter();
    let by_connect = by_connect.map(|address| (address.host.clone(), address.port));
    Ok(SourceDatabase {
        addresses: std::iter::once((postgres.host.clone(), postgres.port))
            .chain(by_connect)
            .collect(),
        database: postgres.database.clone(),
        slots: rows.iter().map(|row| row.get(0)).collect(),
        publications: publications.collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn one(name: &str, idle: Option<&str>, feeding: Feeding) -> (RegisteredConnector, Feeding) {
        let connector = RegisteredConnector {
            name: name.to_owned(),
            config: BTreeMap::new(),
            idle: idle.map(str::to_owned),
        };
        (connector, feeding)
    }

    fn yes() -> Feeding {
        Feeding::Yes("it does".to_owned())
    }

    fn doubtful() -> Feeding {
        Feeding::Doubtful("its address".to_owned())
    }

    fn no() -> Feeding {
        Feeding::No("another database".to_owned())
    }

    #[test]
    fn one_that_is_known_to_feed_the_topic_goes_before_those_that_may() {
        let chosen = |judged| {
            let found = choose(judged, "t").unwrap();
            found.map(|(connector, why)| (connector.name, why))
        };
        assert_eq!(chosen(vec![]), None);
        assert_eq!(chosen(vec![one("a", None, no())]), None);
        let of_three = vec![
            one("a", Some("PAUSED"), doubtful()),
            one("b", None, yes()),
            one("c", None, no()),
        ];
        assert_eq!(
            chosen(of_three),
            Some(("b".to_owned(), "it does".to_owned()))
        );
        let (name, why) = chosen(vec![one("a", None, doubtful())]).unwrap();
        assert_eq!((&*name, &*why), ("a", "it may feed t: its address"));
    }

    #[test]
    fn several_are_asked_about_and_one_that_does_not_run_is_named() {
        for judged in [
            vec![one("a", None, yes()), one("b", None, yes())],
            vec![one("a", None, doubtful()), one("b", None, doubtful())],
        ] {
            let failure = choose(judged, "t").unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            let text = failure.to_string();
            for words in ["2 connectors", "\"a\"", "\"b\"", "--connector NAME"] {
                assert!(text.contains(words), "{text}");
            }
        }
        let failure = choose(vec![one("a", Some("PAUSED"), yes())], "t").unwrap_err();
        assert!(failure.to_string().contains("is PAUSED"), "{failure}");
    }
}
