//! The stack under test, and queries of its servers.

#[path = "command.rs"]
pub mod command;
#[path = "other_postgres.rs"]
mod other_postgres;
#[path = "processes.rs"]
pub mod processes;

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::error::SqlState;

use self::command::{QUICK_JVMS, cdc_bench, ended, p50, small_run, with};
use self::other_postgres::OtherPostgres;
use self::processes::{id, signal};

/// Longest usual wait.
const USUAL: Duration = Duration::from_secs(60);

/// A temporary folder that other users may enter, as PostgreSQL must when we are root.
pub fn open_folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A local stack of the test, kept by `stack up --foreground`.
pub struct TestStack {
    supervisor: Child,
    state: TempDir,
    pub env: BTreeMap<String, String>,
    other_postgres: Option<OtherPostgres>,
    runtime: tokio::runtime::Runtime,
}

impl TestStack {
    pub fn up() -> Self {
        Self::with_args(&[])
    }

    /// With [`QUICK_JVMS`], and these arguments of `stack up`.
    pub fn with_quick_jvms(args: &[&str]) -> Self {
        let (name, value) = QUICK_JVMS;
        let flags = ["kafka", "connect"].map(|server| format!("{server}:{name}={value}"));
        let [kafka, connect] = &flags;
        Self::with_args(&[args, &["--server-env", kafka, "--server-env", connect]].concat())
    }

    /// With arguments of `stack up`.
    #[allow(unsafe_code)]
    pub fn with_args(args: &[&str]) -> Self {
        let state = open_folder();
        let mut command = cdc_bench();
        command
            .args(["stack", "up", "--foreground"])
            .args(args)
            .env("CDC_BENCH_STATE_DIR", state.path())
            .stdout(Stdio::null());
        // SAFETY: prctl(2) is a plain system call. The stack ends with the tests even when they are killed.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?));
        }
        let mut supervisor = spawn_from_a_thread_that_stays(command);
        let file = state.path().join("kept/stack.env");
        let record = state.path().join("kept/stack.json");
        let began = Instant::now();
        while !record.exists() {
            let ended = supervisor.try_wait().unwrap();
            assert!(ended.is_none(), "the stack did not come up: {ended:?}");
            // The first time, all artifacts are downloaded.
            assert!(began.elapsed() < Duration::from_secs(300), "no stack");
            std::thread::sleep(Duration::from_millis(50));
        }
        let env = dotenvy::from_path_iter(file).unwrap();
        let mut env = env.map(Result::unwrap).collect();
        let other_postgres = OtherPostgres::if_asked(&mut env, args);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            supervisor,
            state,
            env,
            other_postgres,
            runtime,
        }
    }

    /// The folder that holds its servers' data and logs.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The command, with this stack as the kept one.
    pub fn kept(&self) -> Command {
        let mut command = cdc_bench();
        command.env("CDC_BENCH_STATE_DIR", self.state.path());
        command
    }

    /// The command, with these servers as external ones.
    pub fn external(&self) -> Command {
        let mut command = cdc_bench();
        command.envs(&self.env);
        command
    }

    /// The same, with writes acknowledged from memory: the latency of its disk is not what these tests measure.
    pub fn unjournaled(&self) -> Command {
        let mut command = self.external();
        command.env("MONGODB_URI", self.unjournaled_uri());
        command
    }

    /// The store's connection string for such writes.
    pub fn unjournaled_uri(&self) -> String {
        let uri = &self.env["MONGODB_URI"];
        let joint = if uri.contains('?') { '&' } else { '?' };
        format!("{uri}{joint}w=1&journal=false")
    }

    /// Warms the stack up: a JVM gets faster over its first tens of thousands of events. It is warm when three runs in a row are no
    /// faster than the fastest before them, except for noise.
    pub fn warm_up(&self) {
        let run = |args: &[&str]| {
            let report = ended(small_run(self.unjournaled(), open_folder().path(), args)).json();
            p50(&report, "total")
        };
        run(&["--events", "30000", "--rate", "1000"]);
        let (mut fastest, mut no_faster) = (f64::MAX, 0);
        while no_faster < 3 {
            let total = run(&["--events", "400", "--rate", "200", "--warmup", "200"]);
            no_faster = if total < fastest * 0.95 {
                0
            } else {
                no_faster + 1
            };
            fastest = fastest.min(total);
        }
    }

    /// The port in a variable that holds one, alone or after an address.
    pub fn port(&self, name: &str) -> u16 {
        let value = &self.env[name];
        value.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn block_on<T>(&self, work: impl IntoFuture<Output = T>) -> T {
        self.runtime.block_on(async { work.await })
    }

    /// Work that goes on meanwhile.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// A new connection.
    pub async fn connect(&self) -> tokio_postgres::Client {
        self.try_connect().await.unwrap()
    }

    /// The same, when the server may be away. One that starts is waited for.
    pub async fn try_connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let config = format!(
            "host={} port={} user={} password={} dbname={}",
            self.env["POSTGRES_HOST"],
            self.env["POSTGRES_PORT"],
            self.env["POSTGRES_USER"],
            self.env["POSTGRES_PASSWORD"],
            self.env["POSTGRES_DB"]
        );
        let began = Instant::now();
        loop {
            match tokio_postgres::connect(&config, tokio_postgres::NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return Ok(client);
                }
                Err(error)
                    if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW)
                        && began.elapsed() < Duration::from_secs(60) =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs SQL; the first column of every row.
    pub fn sql(&self, text: &str) -> Vec<String> {
        self.query(text).unwrap()
    }

    /// The same; `None` when the server refuses.
    pub fn try_sql(&self, text: &str) -> Option<Vec<String>> {
        self.query(text).ok()
    }

    /// PostgreSQL's major version.
    pub fn postgres_version(&self) -> u32 {
        let number: u32 = self.sql("SHOW server_version_num")[0].parse().unwrap();
        number / 10_000
    }

    fn query(&self, text: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        self.block_on(async {
            let client = self.try_connect().await?;
            let rows = client.simple_query(text).await?;
            Ok(rows
                .iter()
                .filter_map(|row| match row {
                    tokio_postgres::SimpleQueryMessage::Row(row) => {
                        Some(row.get(0).unwrap_or_default().to_owned())
                    }
                    _ => None,
                })
                .collect())
        })
    }

    /// The store's database.
    pub fn store(&self) -> mongodb::Database {
        self.block_on(async {
            mongodb::Client::with_uri_str(&self.env["MONGODB_URI"])
                .await
                .unwrap()
                .database(&self.env["MONGODB_DATABASE"])
        })
    }

    pub fn events(&self) -> mongodb::Collection<Document> {
        self.store().collection("events")
    }

    pub fn kafka(&self) -> rdkafka::ClientConfig {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", &self.env["KAFKA_BOOTSTRAP_SERVERS"]);
        config
    }

    pub fn topics(&self) -> BTreeSet<String> {
        let consumer: BaseConsumer = self.kafka().create().unwrap();
        let metadata = consumer
            .fetch_metadata(None, Duration::from_secs(20))
            .unwrap();
        let names = metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned());
        names.filter(|name| !name.starts_with('_')).collect()
    }

    /// Everything in a topic: keys and values.
    pub fn records(&self, topic: &str) -> Vec<(Value, Value)> {
        let consumer: BaseConsumer = self.kafka().set("group.id", "records").create().unwrap();
        let (low, high) = consumer
            .fetch_watermarks(topic, 0, Duration::from_secs(20))
            .unwrap();
        let mut partition = rdkafka::TopicPartitionList::new();
        let beginning = rdkafka::Offset::Beginning;
        partition.add_partition_offset(topic, 0, beginning).unwrap();
        consumer.assign(&partition).unwrap();
        let json = |bytes: Option<&[u8]>| {
            bytes.map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap())
        };
        let record = |_| {
            let message = consumer.poll(Duration::from_secs(20));
            let message = message.expect("a record").unwrap();
            (json(message.key()), json(message.payload()))
        };
        (low..high).map(record).collect()
    }

    pub fn delete_topics(&self, names: &[&str]) {
        use rdkafka::admin::{AdminClient, AdminOptions};
        let admin: AdminClient<_> = self.kafka().create().unwrap();
        let options = AdminOptions::new();
        self.block_on(admin.delete_topics(names, &options)).unwrap();
    }

    pub fn delete_group(&self, name: &str) {
        use rdkafka::admin::{AdminClient, AdminOptions};
        let admin: AdminClient<_> = self.kafka().create().unwrap();
        let options = AdminOptions::new();
        self.block_on(admin.delete_groups(&[name], &options))
            .unwrap();
    }

    pub fn connectors(&self) -> Vec<String> {
        let url = format!("{}/connectors", self.env["CONNECT_URL"]);
        self.block_on(async {
            let client = cdc_bench_stack::http_client().build().unwrap();
            client.get(url).send().await.unwrap().json().await.unwrap()
        })
    }

    fn delete_connectors(&self) {
        let client = cdc_bench_stack::http_client().build().unwrap();
        for name in self.connectors() {
            let url = format!("{}/connectors/{name}", self.env["CONNECT_URL"]);
            self.block_on(client.delete(url).send().into_future())
                .unwrap();
        }
    }

    /// Every resource on the servers that a command may have left, by name.
    pub fn resources(&self) -> BTreeSet<String> {
        let mut things = BTreeSet::new();
        let mut add = |kind: &str, names: Vec<String>| {
            things.extend(names.into_iter().map(|name| format!("{kind} {name}")));
        };
        add(
            "slot",
            self.sql("SELECT slot_name FROM pg_replication_slots"),
        );
        add(
            "publication",
            self.sql("SELECT pubname FROM pg_publication"),
        );
        add(
            "table",
            self.sql("SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname !~ '^pg_|^information_schema$'"),
        );
        add("topic", self.topics().into_iter().collect());
        add("connector", self.connectors());
        let store = self.store();
        let collections = self.block_on(store.list_collection_names());
        add("collection", collections.unwrap());
        things
    }

    /// Asserts that nothing is left of a run but what `cleanup` removes, which is then run.
    pub fn assert_nothing_left(&self, of: &str) {
        let left: Vec<_> = self
            .resources()
            .into_iter()
            .filter(|thing| {
                ["slot ", "connector ", "topic "]
                    .iter()
                    .any(|kind| thing.starts_with(kind))
            })
            .collect();
        assert!(left.is_empty(), "{of} left behind {left:?}");
    }

    /// The supervisor's status of a server.
    pub fn server(&self, name: &str) -> Value {
        let record = std::fs::read(self.state.path().join("kept/stack.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        let servers = record["servers"].as_array().unwrap();
        servers
            .iter()
            .find(|server| server["name"] == name)
            .unwrap()
            .clone()
    }

    /// The command line of the broker: its configuration file is its last word.
    pub fn broker(&self) -> Vec<String> {
        let pid = &self.server("kafka")["pid"];
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let words = line.split(|byte| *byte == 0);
        words
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    /// Kills a server, like a crash. Its supervisor restarts it.
    pub fn crash(&self, name: &str) {
        self.end(name, Signal::SIGKILL);
    }

    /// Ends a server by a signal. Its supervisor restarts it.
    pub fn end(&self, name: &str, how: Signal) {
        if let (Some(other), "postgres") = (&self.other_postgres, name) {
            return other.end(how);
        }
        // The record of a server that has just come back may be older than the server.
        until("the server to be on record", || {
            let pid = self.server(name)["pid"].as_i64().unwrap();
            kill(Pid::from_raw(i32::try_from(pid).unwrap()), how).is_ok()
        });
    }

    /// The process of a server.
    pub fn pid(&self, name: &str) -> i32 {
        if let (Some(other), "postgres") = (&self.other_postgres, name) {
            return other.pid();
        }
        let pid = self.server(name)["pid"].as_i64().unwrap();
        i32::try_from(pid).unwrap()
    }

    /// Empties the store: the documents of a run stay there by intent.
    pub fn delete_documents(&self) {
        self.block_on(self.store().drop()).unwrap();
    }

    /// Removes what a test had under this name: database of the store, topic and group. Not what a failed one may be judged by.
    pub fn discard(&self, name: &str) {
        if std::thread::panicking() {
            return;
        }
        let database = self.store().client().database(name);
        self.block_on(database.drop()).unwrap();
        self.delete_topics(&[name]);
        self.delete_group(name);
    }

    /// What is on record as made by runs that have not ended cleanly, or run still.
    pub fn orphans(&self) -> Vec<String> {
        let listing = "SELECT run_id || ': ' || kind || ' ' || name FROM cdc_bench.ledger WHERE run_id IS NOT NULL";
        match self.sql("SELECT to_regclass('cdc_bench.ledger') IS NOT NULL")[..] {
            [ref known] if known == "t" => self.sql(listing),
            _ => Vec::new(),
        }
    }

    /// Removes what a failed test has left.
    pub fn clear(&self) {
        self.wait_until_healthy();
        self.delete_connectors();
        drop(ended(with(self.kept(), &["cleanup", "--all"])));
        until("the slots to be free", || {
            let dropping = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active";
            self.try_sql(dropping).is_some()
                && self
                    .sql("SELECT slot_name FROM pg_replication_slots")
                    .is_empty()
        });
        let others = format!(
            "SELECT quote_ident(datname) FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', '{}')",
            self.env["POSTGRES_DB"]
        );
        for database in self.sql(&others) {
            self.sql(&format!("DROP DATABASE {database} WITH (FORCE)"));
        }
        for publication in self.sql("SELECT quote_ident(pubname) FROM pg_publication") {
            self.sql(&format!("DROP PUBLICATION {publication}"));
        }
        self.sql(
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC; \
             DROP SCHEMA IF EXISTS activity, cdc_bench CASCADE",
        );
        self.delete_documents();
        let topics = self.topics();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if !topics.is_empty() {
            self.delete_topics(&topics);
        }
    }

    /// Waits until all servers answer. Where one does not, the end of each server's log is printed.
    pub fn wait_until_healthy(&self) {
        let mut last = String::new();
        let answered = came_true(USUAL, || {
            let status = self
                .kept()
                .args(["stack", "status", "--json"])
                .output()
                .unwrap();
            last = format!(
                "{}{}",
                String::from_utf8_lossy(&status.stdout),
                String::from_utf8_lossy(&status.stderr)
            );
            status.status.success()
        });
        if answered {
            return;
        }
        for server in ["postgres", "kafka", "connect", "store"] {
            let log = self.state.path().join(format!("kept/{server}.log"));
            let log = std::fs::read_to_string(log);
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(15)..].join("\n");
            println!("--- end of {server}.log\n{end}");
        }
        panic!("waited too long for the servers to answer: {last}");
    }
}

impl Drop for TestStack {
    fn drop(&mut self) {
        signal(id(&self.supervisor), Signal::SIGTERM);
        let _ = self.supervisor.wait();
    }
}

/// The kernel's signal at a parent's death depends on the parent thread, so this thread must live as long as the process.
fn spawn_from_a_thread_that_stays(mut command: Command) -> Child {
    let (sender, child) = mpsc::channel();
    std::thread::spawn(move || {
        sender.send(command.spawn()).unwrap();
        loop {
            std::thread::park();
        }
    });
    child.recv().unwrap().unwrap()
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Every file of a folder, one after the other.
pub fn everything(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let text = paths.map(|path| {
        if path.is_dir() {
            everything(&path)
        } else {
            String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()
        }
    });
    text.collect()
}

/// Waits for a condition.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(USUAL, what, holds);
}

/// The same, for what may take longer.
pub fn until_within(limit: Duration, what: &str, holds: impl FnMut() -> bool) {
    assert!(came_true(limit, holds), "waited too long for {what}");
}

/// Whether a condition came true in time. Checking it takes a fifth of the time at most, so that it slows down nothing.
fn came_true(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        let looked = Instant::now();
        if holds() {
            return true;
        }
        if began.elapsed() >= limit {
            return false;
        }
        std::thread::sleep((4 * looked.elapsed()).max(Duration::from_millis(20)));
    }
}

/// A document's id as the store holds it.
pub fn with_id(id: &str) -> Document {
    let uuid = mongodb::bson::Uuid::parse_str(id).unwrap();
    doc! { "_id": uuid }
}
