//! Posts the events of an outbox to an HTTP endpoint, at least once.
//!
//! ```sh
//! psql "$DATABASE_URL" -f examples/outbox.sql
//! DATABASE_URL=postgres://... cargo run -p pgcdc-examples --bin outbox_to_http -- http://127.0.0.1:8080/events
//! psql "$DATABASE_URL" -c "INSERT INTO outbox (aggregate_id, type, payload) VALUES ('order-1', 'placed', '[9.99]')"
//! ```

use anyhow::Context;
use pgcdc::{DeliveryConfig, deliver};
use pgcdc_examples::{HttpSink, ctrl_c, outbox_reader, show_warnings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    show_warnings();
    let endpoint = std::env::args()
        .nth(1)
        .context("usage: outbox_to_http URL")?;
    let mut sink = HttpSink::new(endpoint.parse().context(endpoint)?)?;
    let reader = outbox_reader("outbox_to_http")?;
    // Some ten attempts in a minute, and the program ends with the error: whoever started it starts it again.
    let stats = deliver(reader, &mut sink, DeliveryConfig::default(), ctrl_c()).await?;
    println!("{} events", stats.rows);
    Ok(())
}
