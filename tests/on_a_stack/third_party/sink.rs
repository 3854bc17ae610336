//! MongoDB's own sink connector, and a store of its own.

use std::path::Path;
use std::process::Command;

use mongodb::bson::Document;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::stack::{TestStack, free_port, open_folder};
use super::process::{Process, command_line, fetch};
use super::worker::Worker;

const CONNECTOR: &str = "org.mongodb.kafka:mongo-kafka-connect:2.0.1:jar:all";
const HANDLER: &str = "com.mongodb.kafka.connect.sink.cdc.debezium.rdbms.postgres.PostgresHandler";
pub const NAME: &str = "mongo-sink";
pub const GROUP: &str = "connect-mongo-sink";
pub const DATABASE: &str = "shop_read";

/// The sink connector's worker, and its store.
pub struct MongoSink {
    pub uri: String,
    pub port: u16,
    pub worker: Worker,
    program: String,
    store: Option<Process>,
    folder: TempDir,
}

impl MongoSink {
    /// The worker and the store, without a connector yet.
    pub fn up(stack: &TestStack) -> Self {
        Self::with_plugins(stack, &[])
    }

    /// The same, with a worker that has more plugins.
    pub fn with_plugins(stack: &TestStack, more: &[String]) -> Self {
        let folder = open_folder();
        let plugins = folder.path().join("plugins");
        fetch(CONNECTOR, &plugins.join("mongo"));
        // A store without accounts: the connector asks for its user's privileges, which the stack's store does not list.
        let program = command_line(stack, "store");
        let mut program = program.into_iter();
        let program = program.find(|part| part.ends_with("secantusd-py")).unwrap();
        let port = free_port();
        let store = store(&program, port, folder.path());
        let plugins = [&[plugins.display().to_string()], more].concat();
        let worker = Worker::up(stack, folder.path(), &plugins);
        Self {
            uri: format!("mongodb://127.0.0.1:{port}/?directConnection=true"),
            port,
            worker,
            program,
            store: Some(store),
            folder,
        }
    }

    /// Its connector's configuration for the topics of this prefix.
    pub fn config(&self, prefix: &str, more: &Value) -> Value {
        let mut config = json!({
            "connector.class": "com.mongodb.kafka.connect.MongoSinkConnector",
            "topics": format!("{prefix}.public.orders,{prefix}.public.customers"),
            "connection.uri": self.uri, "database": DATABASE, "collection": "orders",
            format!("topic.override.{prefix}.public.customers.collection"): "customers",
            "change.data.capture.handler": HANDLER});
        let members = config.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        config
    }

    pub fn register(&self, stack: &TestStack, prefix: &str, more: &Value) {
        let config = self.config(prefix, more);
        self.worker.connect.register(stack, NAME, &config);
    }

    /// Ends the worker as a crash does, and starts another with the same connector.
    pub fn restart(&mut self, stack: &TestStack, prefix: &str) {
        let plugins = self.folder.path().join("plugins").display().to_string();
        self.worker.crash();
        let folder = self.folder.path().to_owned();
        self.worker = Worker::up(stack, &folder, &[plugins]);
        self.register(stack, prefix, &json!({}));
    }

    /// Ends the store as a crash does, and starts it again on the same files after longer than its driver waits for it.
    pub fn restart_store(&mut self) {
        drop(self.store.take());
        std::thread::sleep(std::time::Duration::from_secs(12));
        self.store = Some(store(&self.program, self.port, self.folder.path()));
    }

    pub fn collection(&self, stack: &TestStack, name: &str) -> mongodb::Collection<Document> {
        let client = stack.block_on(mongodb::Client::with_uri_str(&self.uri));
        client.unwrap().database(DATABASE).collection(name)
    }
}

/// What a crash leaves of its files is everything that it has acknowledged.
fn store(program: &str, port: u16, folder: &Path) -> Process {
    let mut store = Command::new(program);
    store
        .args(["--port", &port.to_string(), "--sync-on-commit"])
        .arg("--storage-path")
        .arg(folder.join("store"));
    Process::start(&mut store, &folder.join("store.log"))
}
