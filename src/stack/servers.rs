//! The four servers: configuration, start, and what counts as ready.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use nix::sys::signal::Signal;
use secrecy::ExposeSecret;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::StackError;
use super::artifacts::{APT, StoreProgram, version};
use super::cache::{NOBODY, is_root, make_dir, write_private};
use super::child::{Child, ServerSpec, as_its_user, tail};
use super::classes::ClassArchive;
use super::local::{CONNECT, KAFKA, POSTGRES, Plan, STORE, configure, spec, until_ready};
use crate::config::{Endpoints, PostgresEndpoint};
use crate::debezium::ConnectClient;

/// The oldest Java that Kafka 4 runs on.
const JAVA: u32 = 17;
/// Small heaps, quick to start, and the optimising compiler left on: this is what gets measured.
const JVM: [&str; 4] = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto"];
/// To stderr, which is the server's log: what an operator would want to read, and no dumps of configurations.
const LOGGING: [&str; 7] = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.connect.runtime.Worker=info",
    // One of Debezium's converters cannot be loaded beside this Connect, and is not needed.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.connect.runtime.isolation.PluginScanner=off",
    "-Dorg.slf4j.simpleLogger.log.io.debezium.connector.postgresql=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
];

/// PostgreSQL's settings, wherever it listens.
pub(super) const POSTGRES_SETTINGS: [(&str, &str); 4] = [
    ("wal_level", "logical"),
    ("max_replication_slots", "20"),
    ("max_wal_senders", "20"),
    ("max_connections", "100"),
];

/// The broker's.
pub(super) const BROKER_SETTINGS: [(&str, &str); 15] = [
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
    // A broker that crashed is let in again when the session of its former self is over.
    ("broker.session.timeout.ms", "4000"),
    ("broker.heartbeat.interval.ms", "1000"),
    ("auto.create.topics.enable", "false"),
];

/// Kafka Connect's, as a distributed worker.
pub(super) const WORKER_SETTINGS: [(&str, &str); 16] = [
    ("group.id", "connect"),
    (
        "key.converter",
        "org.apache.kafka.connect.json.JsonConverter",
    ),
    (
        "value.converter",
        "org.apache.kafka.connect.json.JsonConverter",
    ),
    ("key.converter.schemas.enable", "false"),
    ("value.converter.schemas.enable", "false"),
    ("config.storage.topic", "_connect_configs"),
    ("config.storage.replication.factor", "1"),
    ("offset.storage.topic", "_connect_offsets"),
    ("offset.storage.replication.factor", "1"),
    ("offset.storage.partitions", "1"),
    ("status.storage.topic", "_connect_status"),
    ("status.storage.replication.factor", "1"),
    ("status.storage.partitions", "1"),
    ("offset.flush.interval.ms", "1000"),
    ("plugin.discovery", "service_load"),
    ("connector.client.config.override.policy", "All"),
];

const CLUSTER_ID: &str = "Y2RjLWJlbmNoLWxvY2FsMQ";

/// Java as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Java {
    pub(super) path: PathBuf,
    /// Its version.
    pub(super) major: u32,
    /// The JVM's build, where it is one that shares classes.
    pub(super) sharing: Option<String>,
}

impl Java {
    async fn find() -> Option<Self> {
        let path = super::artifacts::on_path("java")?;
        let output = Command::new(&path).arg("-version").output().await.ok()?;
        Self::read(path, &String::from_utf8_lossy(&output.stderr))
    }

    fn read(path: PathBuf, told: &str) -> Option<Self> {
        // openjdk version "17.0.15" 2025-04-15
        let quoted = told.split('"').nth(1)?;
        let major = quoted.split(['.', '-', '+']).next()?.parse().ok()?;
        // OpenJDK 64-Bit Server VM (build 17.0.15+6-Debian-1deb12u1, mixed mode, sharing)
        let vm = told.lines().find(|line| line.ends_with(", sharing)"));
        Some(Self {
            path,
            major,
            sharing: vm.map(str::to_owned),
        })
    }
}

/// Java must be there, and new enough.
pub(super) async fn check_java(cancel: &CancellationToken) -> Result<Java, StackError> {
    let missing = |what: String| {
        Err(StackError::MissingPrerequisite {
            what,
            advice: APT.to_owned(),
        })
    };
    tokio::select! {
        () = cancel.cancelled() => Err(StackError::Cancelled),
        java = Java::find() => match java {
            Some(java) if java.major >= JAVA => Ok(java),
            Some(Java { path, major, .. }) => missing(format!("Java {JAVA} or later ({} is Java {major})", path.display())),
            None => missing(format!("Java {JAVA} or later (java)")),
        },
    }
}

/// Runs a program of a server's to its end.
async fn once(
    plan: &Plan<'_>,
    server: &str,
    program: &Path,
    args: &[String],
    never_root: bool,
) -> Result<(), StackError> {
    let log = plan.folder.join(format!("{server}.log"));
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(StackError::io("open", &log))?;
    let errors = file.try_clone().map_err(StackError::io("open", &log))?;
    let mut command = std::process::Command::new(program);
    command
        .args(args)
        .current_dir(plan.folder)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors);
    as_its_user(&mut command, never_root);
    let failed = |reason: String| StackError::ServerFailed {
        server: server.to_owned(),
        reason: format!("{}: {reason}", program.display()),
        log: tail(&log),
    };
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    tokio::select! {
        () = plan.cancel.cancelled() => Err(StackError::Cancelled),
        status = command.status() => match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(status.to_string())),
            Err(error) => Err(failed(error.to_string())),
        },
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// PostgreSQL with `wal_level = logical`; a commit is flushed to disk as it comes (that is what gets measured).
pub(super) async fn postgres(plan: &Plan<'_>) -> Result<Child, StackError> {
    let bin = &plan.artifacts.postgres_bin;
    let home = plan.folder.join("postgres");
    make_dir(&home, 0o700)?;
    let password_file = home.join("password");
    write_private(
        &password_file,
        plan.endpoints.postgres.password.expose_secret().as_bytes(),
    )?;
    if is_root() {
        for path in [&home, &password_file] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))
                .map_err(StackError::io("hand over", path))?;
        }
    }
    let data = home.join("data");
    let mut init: Vec<String> = [
        "-U",
        "postgres",
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
        "-D",
    ]
    .map(str::to_owned)
    .to_vec();
    init.extend([text(&data), format!("--pwfile={}", text(&password_file))]);
    once(plan, "postgres", &bin.join("initdb"), &init, true).await?;
    std::fs::remove_file(&password_file).map_err(StackError::io("remove", &password_file))?;
    let port = plan.ports.postgres.to_string();
    let here = [
        ("listen_addresses", "127.0.0.1"),
        ("port", &port),
        ("unix_socket_directories", ""),
    ];
    let mut args = vec!["-D".to_owned(), text(&data)];
    args.extend(
        here.iter()
            .chain(&POSTGRES_SETTINGS)
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]),
    );
    // Later ones win.
    args.extend(
        plan.options
            .postgres_settings
            .iter()
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]),
    );
    let mut server = spec(
        plan,
        "postgres",
        version::postgres(),
        plan.ports.postgres,
        bin.join("postgres"),
        args,
    );
    server.never_root = true;
    // Fast shutdown: sessions are ended, not waited for.
    server.stop_signal = Signal::SIGINT as i32;
    server.folder = data;
    let mut child = Child::start(server)?;
    until_ready(&mut child, plan.cancel, || {
        postgres_ready(&plan.endpoints.postgres)
    })
    .await?;
    plan.is_ready(POSTGRES);
    Ok(child)
}

/// Answers a query in its own database, which is made when it is not there.
pub(super) async fn postgres_ready(endpoint: &PostgresEndpoint) -> Result<(), String> {
    let query = async |database: &str, sql: &str| {
        let (client, connection) = endpoint
            .client_config()
            .dbname(database)
            .connect(tokio_postgres::NoTls)
            .await?;
        let driver = tokio::spawn(connection);
        let answer = client.batch_execute(sql).await;
        drop(client);
        // Whatever ended the connection, the answer says it.
        let _ = driver.await;
        answer
    };
    match query(&endpoint.database, "SELECT 1").await {
        Err(error)
            if error.code() == Some(&tokio_postgres::error::SqlState::INVALID_CATALOG_NAME) =>
        {
            query(
                "postgres",
                &format!("CREATE DATABASE {}", endpoint.database),
            )
            .await
            .map_err(|e| e.to_string())
        }
        answer => answer.map_err(|e| e.to_string()),
    }
}

fn java(
    plan: &Plan<'_>,
    heap: &[&str],
    archive: &ClassArchive,
    main: &str,
    args: &[String],
) -> Vec<String> {
    let mut all: Vec<String> = heap
        .iter()
        .chain(&LOGGING)
        .map(|flag| (*flag).to_owned())
        .collect();
    all.extend(archive.flag());
    all.extend([
        "-cp".to_owned(),
        format!("{}/*", plan.artifacts.kafka.display()),
        main.to_owned(),
    ]);
    all.extend_from_slice(args);
    all
}

/// The classes that an earlier JVM of a server has left, or this one will.
fn class_archive(plan: &Plan<'_>, server: &str) -> ClassArchive {
    // What is set for it, such as another time of day, would be in the archive.
    let is_usual = !plan.options.server_env.iter().any(|(of, ..)| of == server);
    let jvm = plan.java.sharing.as_ref().filter(|_| is_usual);
    jvm.map_or(ClassArchive::Unused, |jvm| {
        ClassArchive::of(server, jvm, &plan.artifacts.kafka, plan.cache, plan.folder)
    })
}

/// What a server's JVM is started with, and leaves.
fn jvm(
    plan: &Plan<'_>,
    server: &str,
    version: &str,
    port: u16,
    main: &str,
    config: &Path,
) -> ServerSpec {
    let archive = class_archive(plan, server);
    let args = java(plan, &JVM, &archive, main, &[text(config)]);
    let mut spec = spec(plan, server, version, port, &plan.java.path, args);
    spec.new_archive = archive.into_new();
    spec
}

/// Kafka as one node that is broker and controller.
pub(super) async fn kafka(plan: &Plan<'_>) -> Result<Child, StackError> {
    let config = plan.folder.join("kafka.properties");
    let (broker, controller) = (
        format!("127.0.0.1:{}", plan.ports.kafka),
        format!("127.0.0.1:{}", plan.ports.controller),
    );
    let here = [
        ("controller.quorum.voters", &*format!("1@{controller}")),
        (
            "listeners",
            &format!("PLAINTEXT://{broker},CONTROLLER://{controller}"),
        ),
        ("advertised.listeners", &format!("PLAINTEXT://{broker}")),
        ("log.dirs", &text(&plan.folder.join("kafka"))),
    ];
    configure(&config, &[&here[..], &BROKER_SETTINGS].concat())?;
    let format = ["format", "-t", CLUSTER_ID, "-c", &text(&config)].map(str::to_owned);
    // Run once and done: no optimising.
    let quick = [
        "-Xmx128m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
    ];
    let classes = match class_archive(plan, "kafka") {
        // It would not leave the server's.
        ClassArchive::New(_) => ClassArchive::Unused,
        archive => archive,
    };
    once(
        plan,
        "kafka",
        &plan.java.path,
        &java(plan, &quick, &classes, "kafka.tools.StorageTool", &format),
        false,
    )
    .await?;
    let server = jvm(
        plan,
        "kafka",
        version::kafka(),
        plan.ports.kafka,
        "kafka.Kafka",
        &config,
    );
    let mut child = Child::start(server)?;
    until_ready(&mut child, plan.cancel, || kafka_ready(plan.endpoints)).await?;
    plan.is_ready(KAFKA);
    Ok(child)
}

/// Answers a metadata request with a broker in it.
pub(super) async fn kafka_ready(endpoints: &Endpoints) -> Result<(), String> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    // Before the port is open, librdkafka would only find that out more slowly.
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

/// Kafka Connect in distributed mode with Debezium in its plugin path.
pub(super) async fn connect(plan: &Plan<'_>) -> Result<Child, StackError> {
    let config = plan.folder.join("connect.properties");
    let here = [
        ("bootstrap.servers", &*plan.endpoints.kafka.bootstrap),
        (
            "listeners",
            &format!("http://127.0.0.1:{}", plan.ports.connect),
        ),
        ("rest.advertised.host.name", "127.0.0.1"),
        ("rest.advertised.port", &plan.ports.connect.to_string()),
        ("plugin.path", &text(&plan.artifacts.plugins)),
    ];
    configure(&config, &[&here[..], &WORKER_SETTINGS].concat())?;
    let version = format!("{} with Debezium {}", version::kafka(), version::debezium());
    let mut child = Child::start(jvm(
        plan,
        "connect",
        &version,
        plan.ports.connect,
        "org.apache.kafka.connect.cli.ConnectDistributed",
        &config,
    ))?;
    until_ready(&mut child, plan.cancel, || connect_ready(plan.endpoints)).await?;
    plan.is_ready(CONNECT);
    Ok(child)
}

/// Lists Debezium's connector among its plugins.
pub(super) async fn connect_ready(endpoints: &Endpoints) -> Result<(), String> {
    let client = ConnectClient::new(endpoints.connect.as_deref().unwrap_or_default())
        .map_err(|e| e.to_string())?;
    client.require_debezium().await.map_err(|e| e.to_string())
}

/// The document store, with one user.
pub(super) async fn store(plan: &Plan<'_>, password: &str) -> Result<Child, StackError> {
    let child = match &plan.artifacts.store {
        StoreProgram::Secantus(program) => secantus(plan, program, password).await?,
        StoreProgram::Mongod(program) => mongod(plan, program, password).await?,
    };
    plan.is_ready(STORE);
    Ok(child)
}

/// SecantusDB takes its users from a first start without authentication; it listens on a loopback port nobody knows.
async fn secantus(plan: &Plan<'_>, program: &Path, password: &str) -> Result<Child, StackError> {
    let data = plan.folder.join("store");
    make_dir(&data, 0o700)?;
    let data = text(&data);
    let args = |auth: &[&str]| {
        let mut args = [
            "--host",
            "127.0.0.1",
            "--port",
            &plan.ports.store.to_string(),
            "--storage-path",
            &data,
            "--sync-on-commit",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(auth.iter().map(|flag| (*flag).to_owned()));
        args
    };
    let server = |args| {
        spec(
            plan,
            "store",
            &format!("SecantusDB {}", version::secantusdb()),
            plan.ports.store,
            program,
            args,
        )
    };
    let mut open = Child::start(server(args(&[])))?;
    until_ready(&mut open, plan.cancel, || {
        make_user(plan.ports.store, password)
    })
    .await?;
    // The user is on disk (--sync-on-commit); an orderly end would take seconds.
    open.kill();
    let mut child = Child::start(server(args(&["--auth"])))?;
    until_ready(&mut child, plan.cancel, || store_ready(plan.endpoints)).await?;
    Ok(child)
}

/// MongoDB itself, as a replica set of one, its user made through the localhost exception.
async fn mongod(plan: &Plan<'_>, program: &Path, password: &str) -> Result<Child, StackError> {
    let data = plan.folder.join("store");
    make_dir(&data, 0o700)?;
    let key = plan.folder.join("store.key");
    write_private(&key, super::local::password().as_bytes())?;
    let port = plan.ports.store.to_string();
    let mut args = [
        "--bind_ip",
        "127.0.0.1",
        "--replSet",
        "cdc",
        "--auth",
        "--nounixsocket",
        "--port",
        &port,
    ]
    .map(str::to_owned)
    .to_vec();
    args.extend([
        "--dbpath".to_owned(),
        text(&data),
        "--keyFile".to_owned(),
        text(&key),
    ]);
    let mut child = Child::start(spec(
        plan,
        "store",
        "MongoDB",
        plan.ports.store,
        program,
        args,
    ))?;
    until_ready(&mut child, plan.cancel, || initiate(plan.ports.store)).await?;
    until_ready(&mut child, plan.cancel, || {
        make_user(plan.ports.store, password)
    })
    .await?;
    until_ready(&mut child, plan.cancel, || store_ready(plan.endpoints)).await?;
    Ok(child)
}

async fn admin(port: u16) -> Result<mongodb::Database, String> {
    let uri =
        format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=2000");
    let options = ClientOptions::parse(uri).await.map_err(|e| e.to_string())?;
    Ok(mongodb::Client::with_options(options)
        .map_err(|e| e.to_string())?
        .database("admin"))
}

async fn initiate(port: u16) -> Result<(), String> {
    let config =
        doc! { "_id": "cdc", "members": [{ "_id": 0, "host": format!("127.0.0.1:{port}") }] };
    match admin(port)
        .await?
        .run_command(doc! { "replSetInitiate": config })
        .await
    {
        Err(error) if !error.to_string().contains("already initialized") => Err(error.to_string()),
        _ => Ok(()),
    }
}

async fn make_user(port: u16, password: &str) -> Result<(), String> {
    let user = doc! { "createUser": "cdc_bench", "pwd": password, "roles": ["root"] };
    match admin(port).await?.run_command(user).await {
        Err(error) if !error.to_string().contains("already exists") => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Answers a ping to its user.
pub(super) async fn store_ready(endpoints: &Endpoints) -> Result<(), String> {
    let mut options = ClientOptions::parse(endpoints.store.uri.expose_secret())
        .await
        .map_err(|e| e.to_string())?;
    options.server_selection_timeout = Some(Duration::from_secs(2));
    let client = mongodb::Client::with_options(options).map_err(|e| e.to_string())?;
    // A ping asks for no rights; listing the database's collections does.
    client
        .database(&endpoints.store.database)
        .list_collection_names()
        .await
        .map(drop)
        .map_err(|e| e.to_string())
}

/// Whether each server answers as what it is, in the pipeline's order; the reason where one does not.
pub(super) async fn answers(
    endpoints: &Endpoints,
    limit: Duration,
) -> Vec<(&'static str, Result<(), String>)> {
    let (postgres, kafka, connect, store) = tokio::join!(
        within(limit, postgres_ready(&endpoints.postgres)),
        within(limit, kafka_ready(endpoints)),
        within(limit, connect_ready(endpoints)),
        within(limit, store_ready(endpoints)),
    );
    vec![
        ("postgres", postgres),
        ("kafka", kafka),
        ("connect", connect),
        ("store", store),
    ]
}

async fn within(
    limit: Duration,
    answer: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_says_what_it_is() {
        let read = |told| Java::read(PathBuf::from("java"), told).unwrap();
        let openjdk = read(
            "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)\n\
             OpenJDK 64-Bit Server VM (build 17.0.15+6, mixed mode, sharing)\n",
        );
        assert_eq!(openjdk.major, 17);
        assert!(
            openjdk
                .sharing
                .is_some_and(|vm| vm.contains("build 17.0.15+6"))
        );
        let other = read("openjdk version \"21-ea\"\nEclipse OpenJ9 VM (build x, JRE 21)\n");
        assert_eq!((other.major, other.sharing), (21, None));
    }
}
