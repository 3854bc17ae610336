//! A topic, a group, a database and a file of dead letters, with one name.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::{Collection, IndexModel};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use tempfile::TempDir;

use super::super::stack::command::{Ended, ended, with};
use super::super::stack::{TestStack, open_folder};
use super::store_proxy::StoreProxy;

/// A record to produce.
#[derive(Debug, Clone)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub header: Option<(&'static str, &'static str)>,
}

/// The largest record that the topic takes: one whose document is too large for the store.
const MAX_RECORD_BYTES: &str = "40000000";

pub struct Pipeline<'a> {
    stack: &'a TestStack,
    pub name: &'static str,
    pub documents: Collection<Document>,
    store_uri: String,
    folder: TempDir,
}

impl<'a> Pipeline<'a> {
    pub fn new(stack: &'a TestStack, name: &'static str) -> Self {
        let client = mongodb::Client::with_uri_str(&stack.env["MONGODB_URI"]);
        let database = stack.block_on(client).unwrap().database(name);
        let pipeline = Self {
            stack,
            name,
            documents: database.collection("events"),
            store_uri: stack.unjournaled_uri(),
            folder: open_folder(),
        };
        pipeline.create_topic(name, &[("max.message.bytes", MAX_RECORD_BYTES)]);
        pipeline
    }

    /// With its store behind a proxy.
    pub fn behind(mut self, proxy: &StoreProxy) -> Self {
        self.store_uri = proxy.uri(&self.store_uri);
        self
    }

    pub fn create_topic(&self, name: &str, config: &[(&str, &str)]) {
        let admin: AdminClient<_> = self.stack.kafka().create().unwrap();
        let mut topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        for (name, value) in config {
            topic = topic.set(name, value);
        }
        let options = AdminOptions::new();
        let made = self.stack.block_on(admin.create_topics([&topic], &options));
        for made in made.unwrap() {
            made.unwrap();
        }
    }

    pub fn produce(&self, records: &[Record]) {
        let mut config = self.stack.kafka();
        config
            .set("message.max.bytes", MAX_RECORD_BYTES)
            .set("linger.ms", "1");
        let producer: BaseProducer = config.create().unwrap();
        for record in records {
            let mut message = BaseRecord::<[u8], [u8]>::to(self.name).partition(0);
            message.key = record.key.as_deref();
            message.payload = record.value.as_deref();
            if let Some((key, value)) = record.header {
                let value = Some(value);
                message = message.headers(OwnedHeaders::new().insert(Header { key, value }));
            }
            while let Err((_, back)) = producer.send(message) {
                producer.poll(Duration::from_millis(10));
                message = back;
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }

    /// The command, with this pipeline as its own.
    pub fn command(&self) -> Command {
        let mut command = self.stack.external();
        command
            .env("MONGODB_URI", &self.store_uri)
            .env("MONGODB_DATABASE", self.name)
            .env("KAFKA_TOPIC", self.name)
            .env("KAFKA_GROUP_ID", self.name)
            .current_dir(self.folder.path());
        command
    }

    /// Consumes so many records, or until nothing comes any more.
    pub fn consume(&self, records: usize, args: &[&str]) -> Ended {
        let (max, idle) = (records.to_string(), ["--idle-timeout", "15"]);
        let consume = with(self.command(), &["consume", "--json", "--max", &max]);
        ended(with(with(consume, &idle), args))
    }

    pub fn replay(&self, args: &[&str]) -> Ended {
        let replay = ["dead-letters", "replay", "--json"];
        ended(with(with(self.command(), &replay), args))
    }

    pub fn documents(&self) -> u64 {
        self.stack
            .block_on(self.documents.count_documents(doc! {}))
            .unwrap()
    }

    /// The file of dead letters.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("dead-letters.jsonl")
    }

    pub fn dead_letters(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub fn append(&self, line: &str) {
        let text = std::fs::read_to_string(self.file()).unwrap();
        std::fs::write(self.file(), format!("{text}{line}\n")).unwrap();
    }

    /// Whether the store takes one document of each run alone.
    pub fn allow_one_document(&self, one: bool) {
        let options = mongodb::options::IndexOptions::builder()
            .unique(true)
            .name("one".to_owned());
        let index = IndexModel::builder()
            .keys(doc! { "run_id": 1 })
            .options(options.build());
        self.stack.block_on(async {
            if one {
                self.documents.create_index(index.build()).await.unwrap();
            } else {
                self.documents.drop_index("one").await.unwrap();
            }
        });
    }

    /// Everything in a topic.
    pub fn messages(&self, topic: &str) -> Vec<OwnedMessage> {
        let mut config = self.stack.kafka();
        let consumer: BaseConsumer = config.set("group.id", "messages").create().unwrap();
        let wait = Duration::from_secs(20);
        let (low, high) = consumer.fetch_watermarks(topic, 0, wait).unwrap();
        let mut partition = rdkafka::TopicPartitionList::new();
        let beginning = rdkafka::Offset::Beginning;
        partition.add_partition_offset(topic, 0, beginning).unwrap();
        consumer.assign(&partition).unwrap();
        let message = |_| consumer.poll(wait).expect("a record").unwrap().detach();
        (low..high).map(message).collect()
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        self.stack.discard(self.name);
    }
}
