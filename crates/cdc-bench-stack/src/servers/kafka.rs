//! The broker.

use std::time::Duration;

use super::jvm;
use super::launch::{path_text, run_to_end, until_ready, write_config};
use super::plan::{KAFKA, StartPlan};
use crate::artifacts::version;
use crate::endpoints::Endpoints;
use crate::error::StackError;
use crate::files::make_dir;
use crate::processes::Child;

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

const CLUSTER_ID: &str = "Y2RjLWJlbmNoLWxvY2FsMQ";

/// Starts Kafka as one node that is broker and controller.
pub(crate) async fn start(plan: &StartPlan<'_>) -> Result<Child, StackError> {
    let config = plan.folder.join("kafka.properties");
    // Connect keeps its connectors' configurations in a topic, passwords included.
    let data = plan.folder.join("kafka");
    make_dir(&data, 0o700)?;
    let (broker, controller) = (
        format!("127.0.0.1:{}", plan.ports.kafka),
        format!("127.0.0.1:{}", plan.ports.controller),
    );
    let listeners = plan.kafka_links.listeners(&broker, &controller);
    let here = [
        ("controller.quorum.voters", &*format!("1@{controller}")),
        ("listeners", &listeners.listeners),
        ("advertised.listeners", &listeners.advertised),
        ("listener.security.protocol.map", &listeners.protocols),
        ("log.dirs", &path_text(&data)),
    ];
    write_config(&config, &[&here[..], &SETTINGS].concat())?;
    let format = ["format", "-t", CLUSTER_ID, "-c", &path_text(&config)];
    let format = jvm::tool(plan, "kafka", "kafka.tools.StorageTool", &format);
    run_to_end(plan, "kafka", &plan.java.path, &format, false).await?;
    let server = jvm::server(
        plan,
        "kafka",
        version::kafka(),
        plan.ports.kafka,
        "kafka.Kafka",
        &config,
    );
    let mut child = Child::start(server)?;
    until_ready(&mut child, plan.cancel, || ready(plan.endpoints)).await?;
    plan.report_ready(KAFKA);
    Ok(child)
}

/// Ready when a metadata response lists a broker.
pub(crate) async fn ready(endpoints: &Endpoints) -> Result<(), String> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    // Checked first, because librdkafka detects a closed port more slowly.
    tokio::net::TcpStream::connect(&*endpoints.kafka.bootstrap)
        .await
        .map_err(|e| e.to_string())?;
    let config = endpoints.kafka.client_config();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().map_err(|e| e.to_string())?;
        let metadata = consumer
            .fetch_metadata(None, Duration::from_secs(5))
            .map_err(|e| e.to_string())?;
        if metadata.brokers().is_empty() {
            Err("no broker has joined".to_owned())
        } else {
            Ok(())
        }
    });
    asked.await.map_err(|e| e.to_string())?
}
