//! Delivers an outbox into a file of SQLite, exactly once.
//!
//! ```sh
//! psql "$DATABASE_URL" -f examples/outbox.sql
//! DATABASE_URL=postgres://... cargo run -p pgcdc-examples --bin outbox_to_sqlite -- events.db
//! psql "$DATABASE_URL" -c "INSERT INTO outbox (aggregate_id, type, payload) VALUES ('order-1', 'placed', '[9.99]')"
//! ```

use std::path::Path;

use anyhow::Context;
use pgcdc::{DeliveryConfig, deliver};
use pgcdc_examples::{SqliteSink, ctrl_c, outbox_reader, show_warnings};

const SLOT: &str = "outbox_to_sqlite";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    show_warnings();
    let file = std::env::args_os()
        .nth(1)
        .context("usage: outbox_to_sqlite FILE")?;
    let mut sink = SqliteSink::open(Path::new(&file), SLOT)?;
    let reader = outbox_reader(SLOT)?;
    let stats = deliver(reader, &mut sink, DeliveryConfig::default(), ctrl_c()).await?;
    println!("{} events", stats.rows);
    Ok(())
}
