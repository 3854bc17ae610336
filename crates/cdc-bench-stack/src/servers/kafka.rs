//! The brokers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::jvm;
use super::launch::{path_text, run_to_end, until_ready, write_config};
use super::plan::{KAFKA, StartPlan};
use crate::artifacts::version;
use crate::endpoints::{Endpoints, KafkaEndpoint};
use crate::error::StackError;
use crate::files::make_dir;
use crate::processes::{Child, process_name};

/// The broker's settings, beside its addresses.
pub(crate) const SETTINGS: [(&str, &str); 15] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("num.partitions", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    // A crashed broker can register again only after its old session has expired.
    ("broker.session.timeout.ms", "4000"),
    ("broker.heartbeat.interval.ms", "1000"),
    ("auto.create.topics.enable", "false"),
];

/// How each of several brokers differs: every record and all of Kafka's own are in three places, and acknowledged by two.
const REPLICATED: [(&str, &str); 7] = [
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
];

/// The settings of the broker of this number, of `count`.
fn settings(number: usize, count: usize) -> Vec<(&'static str, String)> {
    let mut settings: BTreeMap<&str, String> = SETTINGS
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    settings.insert("node.id", number.to_string());
    if count > 1 {
        let replicated = REPLICATED.iter();
        settings.extend(replicated.map(|(name, value)| (*name, (*value).to_owned())));
    }
    settings.into_iter().collect()
}

const CLUSTER_ID: &str = "Y2RjLWJlbmNoLWxvY2FsMQ";

/// Starts Kafka: each broker is a controller as well. All are started before one of them is waited for, because a quorum of several
/// has no leader before most of them are there.
pub(crate) async fn start(plan: &StartPlan<'_>) -> Vec<Result<Child, StackError>> {
    let brokers = (1..=plan.ports.brokers.len()).map(|number| start_broker(plan, number));
    let started = join_all(brokers).await;
    if started.iter().all(Result::is_ok) {
        plan.report_ready(KAFKA);
    }
    started
}

async fn start_broker(plan: &StartPlan<'_>, number: usize) -> Result<Child, StackError> {
    let all = &plan.ports.brokers;
    let (own, count) = (all[number - 1], all.len());
    let name = process_name("kafka", number, count);
    let config = plan.folder.join(format!("{name}.properties"));
    // Connect keeps its connectors' configurations in a topic, passwords included.
    let data = plan.folder.join(&name);
    make_dir(&data, 0o700)?;
    let (broker, controller) = (
        format!("127.0.0.1:{}", own.broker),
        format!("127.0.0.1:{}", own.controller),
    );
    let voters = (1..).zip(all);
    let voters = voters.map(|(number, ports)| format!("{number}@127.0.0.1:{}", ports.controller));
    let voters = voters.collect::<Vec<_>>().join(",");
    let listeners = plan.kafka_links.listeners(number, &broker, &controller);
    let (settings, log_dirs) = (settings(number, count), path_text(&data));
    let mut lines = vec![
        ("controller.quorum.voters", &*voters),
        ("listeners", &listeners.listeners),
        ("advertised.listeners", &listeners.advertised),
        ("listener.security.protocol.map", &listeners.protocols),
        ("log.dirs", &log_dirs),
    ];
    lines.extend(settings.iter().map(|(key, value)| (*key, &**value)));
    write_config(&config, &lines)?;
    let format = ["format", "-t", CLUSTER_ID, "-c", &path_text(&config)];
    let format = jvm::tool(plan, "kafka", "kafka.tools.StorageTool", &format);
    run_to_end(plan, &name, &plan.java.path, &format, false).await?;
    let server = jvm::server(
        plan,
        &name,
        version::kafka(),
        own.broker,
        "kafka.Kafka",
        &config,
    );
    let mut child = Child::start(server)?;
    until_ready(&mut child, plan.cancel, || ready(plan.endpoints)).await?;
    Ok(child)
}

/// Ready when a metadata response lists every broker that is known.
pub(crate) async fn ready(endpoints: &Endpoints) -> Result<(), String> {
    lists_brokers(&endpoints.kafka).await
}

/// Whether the broker at this address, of a local stack, answers.
pub(crate) async fn broker_ready(address: &str) -> Result<(), String> {
    lists_brokers(&KafkaEndpoint::plaintext(address.to_owned())).await
}

async fn lists_brokers(endpoint: &KafkaEndpoint) -> Result<(), String> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let brokers = endpoint.bootstrap.split(',');
    // Checked first, because librdkafka detects a closed port more slowly.
    for broker in brokers.clone() {
        tokio::net::TcpStream::connect(broker.trim())
            .await
            .map_err(|e| format!("{broker}: {e}"))?;
    }
    let known = brokers.count();
    let config = endpoint.client_config();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().map_err(|e| e.to_string())?;
        let metadata = consumer
            .fetch_metadata(None, Duration::from_secs(5))
            .map_err(|e| e.to_string())?;
        match metadata.brokers().len() {
            0 => Err("no broker has joined".to_owned()),
            joined if joined < known => Err(format!("{joined} of {known} brokers have joined")),
            _ => Ok(()),
        }
    });
    asked.await.map_err(|e| e.to_string())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broker_has_the_usual_settings_and_several_keep_everything_three_times() {
        let usual: BTreeMap<_, _> = SETTINGS
            .map(|(name, value)| (name, value.to_owned()))
            .into();
        assert_eq!(settings(1, 1), usual.into_iter().collect::<Vec<_>>());
        let third: BTreeMap<_, _> = settings(3, 3).into_iter().collect();
        assert_eq!(third["node.id"], "3");
        for (name, value) in [
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("offsets.topic.replication.factor", "3"),
            ("process.roles", "broker,controller"),
        ] {
            assert_eq!(third[name], value, "{name}");
        }
    }
}
