//! `observe` on a pipeline of other people's parts alone: PostgreSQL, Debezium, Kafka with three partitions, MongoDB's own sink
//! connector, and a store of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Test;
use super::stack::command::{ended, with};
use super::stack::{TestStack, id, open_folder, signal, until_within};

pub const LONG_TESTS: &[Test] = &[(
    "observe_follows_a_pipeline_of_other_peoples_parts",
    other_peoples_parts,
)];

const SINK: &str = "org.mongodb.kafka:mongo-kafka-connect:2.0.1:jar:all";
const TABLES: &str = "
    create table customers (id bigint generated always as identity primary key, name text, tier int default 0);
    create table orders (region text, id int, status text default 'new', primary key (region, id));
    create table unheard (id int primary key);
    create publication shop for table customers, orders, unheard;";

/// A process that is ended when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        signal(id(&self.0), Signal::SIGKILL);
        drop(self.0.wait());
    }
}

/// The sink connector's worker and its store.
struct Sink {
    store: String,
    worker: String,
    _processes: [Process; 2],
    _folder: TempDir,
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The command line of one of the stack's servers.
fn command_line(stack: &TestStack, server: &str) -> Vec<String> {
    let pid = stack.server(server)["pid"].as_i64().unwrap();
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    line.split('\0').map(str::to_owned).collect()
}

impl Sink {
    fn up(stack: &TestStack) -> Self {
        let folder = open_folder();
        let jars = folder.path().join("plugins/mongo");
        let fetched = Command::new("mvn")
            .args(["-q", "dependency:copy"])
            .arg(format!("-Dartifact={SINK}"))
            .arg(format!("-DoutputDirectory={}", jars.display()))
            .status();
        assert!(fetched.unwrap().success(), "{SINK}");
        // A store without accounts: the connector asks for its user's privileges, which the stack's store does not list.
        let program = command_line(stack, "store");
        let program = program.iter().find(|part| part.contains("secantusd"));
        let port = free_port();
        let store = Command::new(program.unwrap())
            .args(["--port", &port.to_string(), "--storage-path"])
            .arg(folder.path().join("store"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let store_process = Process(store.unwrap());
        let store = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
        let worker_port = free_port();
        let process = worker(stack, folder.path(), &store, worker_port);
        let worker = format!("http://127.0.0.1:{worker_port}/connectors/mongo-sink");
        let sink = Self {
            store,
            worker,
            _processes: [store_process, process],
            _folder: folder,
        };
        until_within(Duration::from_secs(120), "the sink connector", || {
            sink.status(stack)
                .contains("\"state\":\"RUNNING\",\"worker_id\"")
        });
        sink
    }

    fn status(&self, stack: &TestStack) -> String {
        let asked = stack.block_on(get(format!("{}/status", self.worker)));
        asked.unwrap_or_default()
    }

    fn ask(&self, stack: &TestStack, what: &str) {
        let url = format!("{}/{what}", self.worker);
        stack.block_on(async move {
            let client = cdc_bench_stack::http_client().build().unwrap();
            assert!(client.put(url).send().await.unwrap().status().is_success());
        });
    }
}

async fn get(url: String) -> Option<String> {
    let client = cdc_bench_stack::http_client().build().ok()?;
    client.get(url).send().await.ok()?.text().await.ok()
}

fn worker(stack: &TestStack, folder: &Path, store: &str, port: u16) -> Process {
    let settings = folder.join("worker.properties");
    let kafka = &stack.env["KAFKA_BOOTSTRAP_SERVERS"];
    let shown = folder.display();
    std::fs::write(
        &settings,
        format!(
            "bootstrap.servers={kafka}\nkey.converter=org.apache.kafka.connect.json.JsonConverter\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\nkey.converter.schemas.enable=false\n\
             value.converter.schemas.enable=false\noffset.storage.file.filename={shown}/offsets\n\
             offset.flush.interval.ms=1000\nplugin.path={shown}/plugins\nconsumer.metadata.max.age.ms=2000\n\
             listeners=http://127.0.0.1:{port}\n"
        ),
    )
    .unwrap();
    let connector = folder.join("sink.properties");
    std::fs::write(
        &connector,
        format!(
            "name=mongo-sink\nconnector.class=com.mongodb.kafka.connect.MongoSinkConnector\n\
             topics=shop.public.orders,shop.public.customers\nconnection.uri={store}\ndatabase=shop_read\n\
             collection=orders\ntopic.override.shop.public.customers.collection=customers\n\
             change.data.capture.handler=com.mongodb.kafka.connect.sink.cdc.debezium.rdbms.postgres.PostgresHandler\n"
        ),
    )
    .unwrap();
    let line = command_line(stack, "connect");
    let path = line
        .iter()
        .position(|part| part == "-cp" || part == "-classpath");
    let jars: PathBuf = line[path.unwrap() + 1].clone().into();
    let java = Command::new(&line[0])
        .args(["-Xmx256m", "-cp"])
        .arg(jars)
        .arg("org.apache.kafka.connect.cli.ConnectStandalone")
        .args([settings, connector])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(java.unwrap())
}

/// Registers Debezium's connector with its defaults.
fn register(stack: &TestStack) {
    let env = |name: &str| stack.env[name].clone();
    let converter = "org.apache.kafka.connect.json.JsonConverter";
    let body = json!({"name": "shop", "config": {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": env("POSTGRES_HOST"), "database.port": env("POSTGRES_PORT"),
        "database.user": env("POSTGRES_USER"), "database.password": env("POSTGRES_PASSWORD"),
        "database.dbname": "shop", "topic.prefix": "shop", "plugin.name": "pgoutput", "slot.name": "shop_dbz",
        "publication.name": "shop", "publication.autocreate.mode": "disabled", "snapshot.mode": "no_data",
        "table.exclude.list": "public.unheard", "topic.creation.enable": "true",
        "topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1",
        "key.converter": converter, "value.converter": converter,
        "key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false"}});
    let url = format!("{}/connectors", env("CONNECT_URL"));
    stack.block_on(async move {
        let client = cdc_bench_stack::http_client().build().unwrap();
        let answer = client.post(url).json(&body).send().await.unwrap();
        let status = answer.status();
        assert!(
            status.is_success(),
            "{status}: {}",
            answer.text().await.unwrap()
        );
    });
}

/// Inserts, updates and deletes on two tables, some a second; every fourth transaction changes a key's row twice.
async fn load(client: &tokio_postgres::Client, seconds: u64) {
    let began = Instant::now();
    let mut n = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        n += 1;
        let statements = match n % 4 {
            0 => format!("insert into customers (name) values ('c{n}')"),
            1 => format!("insert into orders (region, id) values ('eu', {n})"),
            2 => format!(
                "begin; update orders set status = 'a{n}' where id = {0}; update orders set status = 'b{n}' where id = {0}; commit",
                n - 1
            ),
            _ => format!(
                "delete from orders where id = {}; insert into unheard values ({n})",
                n - 6
            ),
        };
        client.batch_execute(&statements).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn observed(stack: &TestStack, sink: &Sink, during: impl FnOnce()) -> (Option<i32>, Value, String) {
    let folder = open_folder();
    let mut command = with(
        stack.external(),
        &[
            "observe",
            "--json",
            "--duration",
            "20",
            "--drain-timeout",
            "60",
        ],
    );
    command
        .env("MONGODB_URI", &sink.store)
        .env("MONGODB_DATABASE", "shop_read");
    command
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    during();
    let out = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    let report = serde_json::from_slice(&out.stdout);
    (
        out.status.code(),
        report.unwrap_or_else(|error| panic!("{error}: {errors}")),
        errors,
    )
}

fn other_peoples_parts(stack: &TestStack) {
    stack.sql("create database shop");
    let shop = |work: &str| {
        let mut server = stack.env.clone();
        server.insert("POSTGRES_DB".to_owned(), "shop".to_owned());
        let config = format!(
            "host={} port={} user={} password={} dbname=shop",
            server["POSTGRES_HOST"],
            server["POSTGRES_PORT"],
            server["POSTGRES_USER"],
            server["POSTGRES_PASSWORD"]
        );
        let work = work.to_owned();
        stack.block_on(async move {
            let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls)
                .await
                .unwrap();
            tokio::spawn(connection);
            match work.strip_prefix("load ") {
                Some(seconds) => load(&client, seconds.parse().unwrap()).await,
                None => client.batch_execute(&work).await.unwrap(),
            }
        });
    };
    shop(TABLES);
    register(stack);
    let sink = Sink::up(stack);
    // Its topics are made with its first changes.
    shop("load 4");
    until_within(Duration::from_secs(60), "the group's first commit", || {
        let mut plan = with(stack.external(), &["observe", "--plan"]);
        plan.env("MONGODB_URI", &sink.store)
            .env("MONGODB_DATABASE", "shop_read");
        let found = ended(plan).out;
        [
            "connect-mongo-sink",
            "rows of public.customers",
            "key region, id",
            "leaves public.unheard out",
        ]
        .iter()
        .all(|words| found.contains(words))
    });

    let (code, report, errors) = observed(stack, &sink, || shop("load 18"));
    let counts = &report["counts"];
    assert_eq!(code, Some(0), "{counts} {errors}");
    for none in [
        "missing",
        "in_flight",
        "duplicates",
        "unreadable",
        "negative_hops",
    ] {
        assert_eq!(counts[none], 0, "{none}: {counts}");
    }
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert!(count("completed") > 40, "{counts}");
    assert_eq!(
        count("captured"),
        count("completed") + count("not_shown"),
        "{counts}"
    );
    assert!(count("not_shown") <= count("completed") / 50, "{counts}");
    assert!(
        counts["filtered"]["other_tables"].as_u64() > Some(5),
        "{counts}"
    );
    assert!(
        counts["filtered"]["tombstones"].as_u64() > Some(5),
        "{counts}"
    );
    let means = |report: &Value| {
        let hops = &report["paths"]["observed"]["hops"];
        let mean = |hop: &str| hops[hop]["mean"].as_i64().unwrap();
        (
            mean("debezium") + mean("produce") + mean("consume"),
            mean("total"),
        )
    };
    let (sum, total) = means(&report);
    assert!((sum - total).abs() <= 3, "{sum} {total}");

    // The sink is held up for a while: that is the hop which is named.
    let (code, report, errors) = observed(stack, &sink, || {
        sink.ask(stack, "pause");
        shop("load 9");
        sink.ask(stack, "resume");
        shop("load 4");
    });
    assert_eq!(code, Some(0), "{} {errors}", report["counts"]);
    assert_eq!(report["diagnosis"]["slowest_hop"], "consume");
}
