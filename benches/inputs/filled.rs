//! A topic full of generated events, and the processor time of who drains it.

use std::time::Duration;

use cdc_bench_model::event::Generator;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::runtime::Runtime;

use crate::inputs;
use crate::stack::TestStack;

/// Makes an empty topic.
pub fn make(stack: &TestStack, runtime: &Runtime, topic: &str, partitions: i32) {
    runtime.block_on(async {
        let admin: AdminClient<_> = stack.kafka().create().unwrap();
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime");
        let made = admin.create_topics([&new], &AdminOptions::new()).await;
        made.unwrap()
            .into_iter()
            .for_each(|made| drop(made.unwrap()));
    });
}

/// Fills it with the records of generated events, by aggregate; their mean size in bytes.
pub fn fill(stack: &TestStack, topic: &str, partitions: i32, events: usize) -> usize {
    let rows: Vec<_> = Generator::new(42, jiff::Timestamp::UNIX_EPOCH)
        .take(events.min(20_000))
        .map(|row| {
            (
                inputs::record(&row),
                row.aggregate_id.as_u128() % u128::from(partitions.unsigned_abs()),
            )
        })
        .collect();
    let producer: BaseProducer = stack
        .kafka()
        .set("queue.buffering.max.messages", "200000")
        .set("linger.ms", "20")
        .create()
        .unwrap();
    for (record, partition) in rows.iter().cycle().take(events) {
        let partition = i32::try_from(*partition).unwrap();
        let mut message = BaseRecord::<(), _>::to(topic)
            .payload(record)
            .partition(partition);
        while let Err((_, back)) = producer.send(message) {
            producer.poll(Duration::from_millis(10));
            message = back;
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    rows.iter().map(|(record, _)| record.len()).sum::<usize>() / rows.len()
}

/// Processor time of this process so far, seconds.
pub fn cpu() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
}
