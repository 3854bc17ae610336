//! Debezium's JDBC sink connector, and the database that it writes into.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::stack::{TestStack, open_folder, until_within};
use super::observed::{Observing, observe};
use super::pipeline::{PREFIX, committed, rows};
use super::process::fetch;
use super::shop::Shop;
use super::worker::{JSON, Worker};

const CONNECTOR: &str = "io.debezium:debezium-connector-jdbc:3.6.0.Final:tar.gz:plugin";
pub const NAME: &str = "jdbc-sink";
pub const GROUP: &str = "connect-jdbc-sink";

/// The sink's tables, named as the connector names them, in its own schema's order of columns.
const TABLES: &str = "
    create table shop_public_customers (tier int, name text, id bigint primary key);
    create table shop_public_orders (status text, region text, id int, primary key (id, region));
    create publication copies for table shop_public_customers, shop_public_orders;
    create publication other for table shop_public_customers;
    create table elsewhere (id int primary key);
    create publication elsewhere for table elsewhere;";

/// The connector, and the database that it writes into.
pub struct JdbcSink<'a> {
    pub stack: &'a TestStack,
    pub worker: Worker,
    _folder: TempDir,
}

impl<'a> JdbcSink<'a> {
    pub fn up(stack: &'a TestStack) -> Self {
        let folder = open_folder();
        fetch(CONNECTOR, folder.path());
        let archive = std::fs::read_dir(folder.path()).unwrap().next().unwrap();
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        let mut unpack = Command::new("tar");
        unpack.arg("-xzf").arg(archive.unwrap().path());
        assert!(unpack.arg("-C").arg(&plugins).status().unwrap().success());
        let worker = Worker::up(stack, folder.path(), &[plugins.display().to_string()]);
        stack.sql("create database copies");
        let sink = Self {
            stack,
            worker,
            _folder: folder,
        };
        sink.sql(TABLES);
        sink
    }

    pub fn url(&self, user: &str) -> String {
        let env = |name: &str| &self.stack.env[name];
        let (host, port) = (env("POSTGRES_HOST"), env("POSTGRES_PORT"));
        format!("postgresql://{user}@{host}:{port}/copies")
    }

    async fn connect(&self) -> tokio_postgres::Client {
        let config = format!(
            "{}?password={}",
            self.url(&self.stack.env["POSTGRES_USER"]),
            self.stack.env["POSTGRES_PASSWORD"]
        );
        let connected = tokio_postgres::connect(&config, tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    }

    pub fn sql(&self, text: &str) {
        self.stack.block_on(async {
            self.connect().await.batch_execute(text).await.unwrap();
        });
    }

    pub fn rows(&self) -> u64 {
        self.stack.block_on(async {
            let client = self.connect().await;
            let counted = client.query_one(
                "select (select count(*) from shop_public_customers) + (select count(*) from shop_public_orders)",
                &[],
            );
            u64::try_from(counted.await.unwrap().get::<_, i64>(0)).unwrap()
        })
    }

    pub fn publications(&self) -> Vec<String> {
        self.stack.block_on(async {
            let client = self.connect().await;
            let rows = client.query("select pubname::text from pg_publication order by 1", &[]);
            rows.await.unwrap().iter().map(|row| row.get(0)).collect()
        })
    }

    /// Registers the connector, or gives it another configuration.
    pub fn register(&self, more: &Value) {
        let env = |name: &str| self.stack.env[name].clone();
        let mut config = json!({
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "topics": format!("{PREFIX}.public.orders,{PREFIX}.public.customers"),
            "connection.url": format!("jdbc:postgresql://{}:{}/copies", env("POSTGRES_HOST"), env("POSTGRES_PORT")),
            "connection.username": env("POSTGRES_USER"), "connection.password": env("POSTGRES_PASSWORD"),
            "insert.mode": "upsert", "delete.enabled": "true", "primary.key.mode": "record_key",
            // A header of a changed key is JSON whose types the default converter does not know.
            "header.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
            "schema.evolution": "none", "key.converter": JSON, "value.converter": JSON,
            "key.converter.schemas.enable": "true", "value.converter.schemas.enable": "true"});
        let members = config.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        self.worker.connect.register(self.stack, NAME, &config);
    }

    pub fn wait_until_caught_up(&self, shop: &Shop<'_>) {
        until_within(
            Duration::from_secs(60),
            "the sink to have caught up",
            || self.rows() == rows(self.stack, shop),
        );
    }

    /// The command on this sink.
    pub fn observe(&self) -> Command {
        let mut command = observe(self.stack, None);
        let url = self.url(&self.stack.env["POSTGRES_USER"]);
        command.args(["--sink-postgres", &url]).env(
            "SINK_POSTGRES_PASSWORD",
            &self.stack.env["POSTGRES_PASSWORD"],
        );
        command
    }

    pub fn begin(&self, args: &[&str]) -> Observing {
        // The source's slot is the last.
        Observing::with_slots(self.stack, self.observe(), args, 2)
    }

    /// Everything that an observation might leave or move.
    pub fn servers(&self) -> (BTreeSet<String>, Vec<String>, Vec<String>, Vec<i64>) {
        let slots =
            "select slot_name || ' ' || confirmed_flush_lsn from pg_replication_slots order by 1";
        (
            self.stack.resources(),
            self.stack.sql(slots),
            self.publications(),
            committed(self.stack, GROUP),
        )
    }

    pub fn idle(&self) -> (BTreeSet<String>, Vec<String>, Vec<String>, Vec<i64>) {
        let mut last = self.servers();
        until_within(Duration::from_secs(180), "an idle pipeline", || {
            std::thread::sleep(Duration::from_secs(4));
            let now = self.servers();
            let is_same = now == last;
            last = now;
            is_same
        });
        last
    }
}
