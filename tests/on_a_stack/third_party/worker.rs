//! A worker of Kafka Connect's of our own, beside the stack's: with the plugins that a test needs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::stack::{TestStack, free_port, until_within};
use super::process::{Process, command_line};

pub const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

/// Connect's REST interface, whosever worker it is.
#[derive(Clone)]
pub struct Connect {
    pub url: String,
}

impl Connect {
    pub fn of(stack: &TestStack) -> Self {
        Self {
            url: stack.env["CONNECT_URL"].clone(),
        }
    }

    /// Registers a connector, or gives it another configuration, and waits until its task runs.
    pub fn register(&self, stack: &TestStack, name: &str, config: &Value) {
        let url = format!("{}/connectors/{name}/config", self.url);
        let asked = stack.block_on(async {
            let client = cdc_bench_stack::http_client().build().unwrap();
            let answer = client.put(url).json(config).send().await.unwrap();
            (answer.status(), answer.text().await.unwrap())
        });
        assert!(asked.0.is_success(), "{name}: {} {}", asked.0, asked.1);
        self.wait_until_running(stack, name);
    }

    pub fn wait_until_running(&self, stack: &TestStack, name: &str) {
        until_within(Duration::from_secs(120), name, || {
            let status = self.status(stack, name);
            let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
            let failed = tasks.iter().find(|task| task["state"] == "FAILED");
            assert!(failed.is_none(), "{name}: {status}");
            status["connector"]["state"] == "RUNNING"
                && !tasks.is_empty()
                && tasks.iter().all(|task| task["state"] == "RUNNING")
        });
    }

    pub fn status(&self, stack: &TestStack, name: &str) -> Value {
        let url = format!("{}/connectors/{name}/status", self.url);
        let asked = stack.block_on(async {
            let client = cdc_bench_stack::http_client().build().ok()?;
            client.get(url).send().await.ok()?.json().await.ok()
        });
        asked.unwrap_or_default()
    }

    /// `pause` or `resume`.
    pub fn ask(&self, stack: &TestStack, name: &str, what: &str) {
        let url = format!("{}/connectors/{name}/{what}", self.url);
        stack.block_on(async {
            let client = cdc_bench_stack::http_client().build().unwrap();
            assert!(client.put(url).send().await.unwrap().status().is_success());
        });
    }

    /// Deletes a connector with its offsets: the next of its name begins anew.
    pub fn delete(&self, stack: &TestStack, name: &str) {
        let url = format!("{}/connectors/{name}", self.url);
        let client = cdc_bench_stack::http_client().build().unwrap();
        let answered = |request: reqwest::RequestBuilder| {
            let answer = stack.block_on(request.send()).unwrap();
            answer.status().is_success()
        };
        assert!(answered(client.put(format!("{url}/stop"))), "{name}");
        until_within(Duration::from_secs(60), "its offsets to be deleted", || {
            answered(client.delete(format!("{url}/offsets")))
        });
        assert!(answered(client.delete(url)), "{name}");
    }
}

/// A standalone worker. It keeps its connectors' offsets in a file, and has none of them after a restart.
pub struct Worker {
    pub connect: Connect,
    process: Option<Process>,
}

impl Worker {
    /// With these folders as its plugin path.
    pub fn up(stack: &TestStack, folder: &Path, plugins: &[String]) -> Self {
        let port = free_port();
        let settings = folder.join("worker.properties");
        let kafka = &stack.env["KAFKA_BOOTSTRAP_SERVERS"];
        let text = format!(
            "bootstrap.servers={kafka}\nkey.converter={JSON}\nvalue.converter={JSON}\n\
             key.converter.schemas.enable=false\nvalue.converter.schemas.enable=false\n\
             offset.storage.file.filename={}/offsets\noffset.flush.interval.ms=1000\nplugin.path={}\n\
             plugin.discovery=only_scan\nconsumer.metadata.max.age.ms=1000\nlisteners=http://127.0.0.1:{port}\n",
            folder.display(),
            plugins.join(",")
        );
        std::fs::write(&settings, text).unwrap();
        let line = command_line(stack, "connect");
        let path = line
            .iter()
            .position(|part| part == "-cp" || part == "-classpath");
        let mut java = Command::new(&line[0]);
        java.args(["-Xmx384m", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(&line[path.unwrap() + 1])
            .arg("org.apache.kafka.connect.cli.ConnectStandalone")
            .arg(settings);
        let process = Process::start(&mut java, &folder.join("worker.log"));
        let connect = Connect {
            url: format!("http://127.0.0.1:{port}"),
        };
        until_within(Duration::from_secs(120), "the worker", || {
            stack.block_on(async {
                let client = cdc_bench_stack::http_client().build().unwrap();
                let url = format!("{}/connectors", connect.url);
                client
                    .get(url)
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
            })
        });
        Self {
            connect,
            process: Some(process),
        }
    }

    /// Ends it, as a crash does.
    pub fn crash(&mut self) {
        self.process = None;
    }
}

/// The folder of the stack's plugins: Debezium.
pub fn debezium_plugins(stack: &TestStack) -> String {
    let line = command_line(stack, "connect");
    let text = std::fs::read_to_string(line.last().unwrap()).unwrap();
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix("plugin.path="));
    found.unwrap().to_owned()
}

/// Debezium's connector of a shop with its defaults, and JSON without schemas.
pub fn debezium(stack: &TestStack, name: &str, more: &Value) -> Value {
    let env = |name: &str| stack.env[name].clone();
    let mut config = json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": env("POSTGRES_HOST"), "database.port": env("POSTGRES_PORT"),
        "database.user": env("POSTGRES_USER"), "database.password": env("POSTGRES_PASSWORD"),
        "database.dbname": "shop", "topic.prefix": name, "plugin.name": "pgoutput", "slot.name": name,
        "publication.name": "shop", "publication.autocreate.mode": "disabled", "snapshot.mode": "no_data",
        "table.exclude.list": "public.unheard", "topic.creation.enable": "true",
        "topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1",
        "key.converter": JSON, "value.converter": JSON,
        "key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false"});
    let members = config.as_object_mut().unwrap();
    for (key, value) in more.as_object().unwrap() {
        if value.is_null() {
            members.remove(key);
        } else {
            members.insert(key.clone(), value.clone());
        }
    }
    config
}
