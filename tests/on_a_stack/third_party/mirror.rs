//! A program that copies a topic into another, not faithfully; and records appended by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::super::stack::TestStack;

const WAIT: Duration = Duration::from_secs(20);

/// The program, on a thread of its own.
pub struct Mirror {
    topic: &'static str,
    kafka: rdkafka::ClientConfig,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Copies every record from now on, in transactions, but for those of the key `lost`; those of the key `twice` are written
    /// twice.
    pub fn begin(
        stack: &TestStack,
        from: &'static str,
        to: &'static str,
        partitions: i32,
        lost: String,
        twice: String,
    ) -> Self {
        let admin: AdminClient<_> = stack.kafka().create().unwrap();
        let topic = NewTopic::new(to, partitions, TopicReplication::Fixed(1));
        let made = stack.block_on(admin.create_topics([&topic], &AdminOptions::new()));
        made.unwrap().remove(0).unwrap();
        let consumer = at_the_ends(stack, from);
        let producer = transactional(&stack.kafka(), "mirror");
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                    continue;
                };
                let message = message.unwrap().detach();
                if message.key() == Some(lost.as_bytes()) {
                    continue;
                }
                producer.begin_transaction().unwrap();
                let copies = 1 + usize::from(
                    message.key() == Some(twice.as_bytes()) && message.payload().is_some(),
                );
                for _ in 0..copies {
                    send(
                        &producer,
                        to,
                        message.partition(),
                        message.key(),
                        message.payload(),
                    );
                }
                producer.commit_transaction(WAIT).unwrap();
            }
        });
        Self {
            topic: to,
            kafka: stack.kafka(),
            stopping,
            thread: Some(thread),
        }
    }

    /// Writes a record into a partition in a transaction that is aborted.
    pub fn abort(&self, partition: i32) {
        let producer = transactional(&self.kafka, "aborting");
        producer.begin_transaction().unwrap();
        send(&producer, self.topic, partition, None, Some(b"{}"));
        producer.flush(WAIT).unwrap();
        producer.abort_transaction(WAIT).unwrap();
    }

    pub fn end(mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn transactional(kafka: &rdkafka::ClientConfig, id: &str) -> BaseProducer {
    let producer: BaseProducer = kafka.clone().set("transactional.id", id).create().unwrap();
    producer.init_transactions(WAIT).unwrap();
    producer
}

fn send(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic);
    if partition >= 0 {
        record = record.partition(partition);
    }
    if let Some(key) = key {
        record = record.key(key);
    }
    if let Some(value) = value {
        record = record.payload(value);
    }
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

/// Appends a record.
pub fn append(stack: &TestStack, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) {
    let producer: BaseProducer = stack.kafka().create().unwrap();
    send(&producer, topic, 0, key, value);
    producer.flush(WAIT).unwrap();
}

/// Appends the last record with a value of a topic's first partition once more.
pub fn append_last_again(stack: &TestStack, topic: &str) {
    let consumer: BaseConsumer = stack.kafka().set("group.id", "again").create().unwrap();
    let (_, high) = consumer.fetch_watermarks(topic, 0, WAIT).unwrap();
    let mut list = TopicPartitionList::new();
    let from = Offset::Offset((high - 5).max(0));
    list.add_partition_offset(topic, 0, from).unwrap();
    consumer.assign(&list).unwrap();
    let mut last: Option<OwnedMessage> = None;
    loop {
        let message = consumer.poll(WAIT).unwrap().unwrap().detach();
        let offset = message.offset();
        if message.payload().is_some() {
            last = Some(message);
        }
        if offset + 1 == high {
            break;
        }
    }
    let last = last.unwrap();
    append(stack, topic, last.key(), last.payload());
}

fn at_the_ends(stack: &TestStack, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = stack.kafka().set("group.id", "mirror").create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..3 {
        let (_, end) = consumer.fetch_watermarks(topic, partition, WAIT).unwrap();
        list.add_partition_offset(topic, partition, Offset::Offset(end))
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    consumer
}
