//! Produces the events of an outbox to a topic of Kafka, at least once and in order for each aggregate.
//!
//! ```sh
//! psql "$DATABASE_URL" -f examples/outbox.sql
//! DATABASE_URL=postgres://... cargo run -p pgcdc-examples --bin outbox_to_kafka -- 127.0.0.1:9092 orders
//! psql "$DATABASE_URL" -c "INSERT INTO outbox (aggregate_id, type, payload) VALUES ('order-1', 'placed', '[9.99]')"
//! ```

use anyhow::bail;
use pgcdc::{DeliveryConfig, deliver};
use pgcdc_examples::{KafkaSink, ctrl_c, outbox_reader, show_warnings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    show_warnings();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = &*arguments else {
        bail!("usage: outbox_to_kafka HOST:PORT TOPIC");
    };
    let mut sink = KafkaSink::new(bootstrap, topic)?;
    let reader = outbox_reader("outbox_to_kafka")?;
    let stats = deliver(reader, &mut sink, DeliveryConfig::default(), ctrl_c()).await?;
    println!("{} events", stats.rows);
    Ok(())
}
