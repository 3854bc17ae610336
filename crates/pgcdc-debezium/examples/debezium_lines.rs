//! Prints the changes of a table as Debezium's events, one line each: key, tab, value.
//!
//! ```sh
//! psql -c "CREATE TABLE items (id int PRIMARY KEY, name text); CREATE PUBLICATION items FOR TABLE items"
//! PGHOST=127.0.0.1 PGUSER=postgres PGPASSWORD=... PGDATABASE=shop cargo run -p pgcdc-debezium --example debezium_lines
//! psql -c "INSERT INTO items VALUES (1, 'one')"
//! ```

use std::io::Write;
use std::ops::ControlFlow;

use pgcdc::{
    Event, Reader, ReaderConfig, Server, Slot, SlotName, SnapshotConfig, SteadyClock, TimeSource,
};
use pgcdc_debezium::{EnvelopeConfig, Envelopes, Record};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name: &str, or: &str| std::env::var(name).unwrap_or_else(|_| or.to_owned());
    let server = Server::new(
        variable("PGHOST", "127.0.0.1"),
        variable("PGPORT", "5432").parse()?,
        variable("PGUSER", "postgres"),
        variable("PGPASSWORD", ""),
        variable("PGDATABASE", "postgres"),
    );
    let mut envelopes = Envelopes::new(EnvelopeConfig::new("postgres", &*server.database));
    // Dropped by the server when this program ends.
    let slot = Slot::Temporary(SlotName::new("debezium_lines")?);
    let config = ReaderConfig {
        // Existing rows first, as events with "op": "r".
        snapshot: Some(SnapshotConfig::default()),
        // Primary keys and defaults are in the catalogue, not in the stream.
        describe: true,
        ..ReaderConfig::new(server, slot, ["items"])
    };
    let clock = SteadyClock::start();
    let reader = Reader::spawn(config, move |event| {
        let Event::Change(change) = event else {
            return ControlFlow::Continue(());
        };
        let mut printed = Ok(());
        let written = envelopes.write(&change, clock.now(), |record| {
            if printed.is_ok() {
                printed = print(record);
            }
        });
        if let Err(error) = written {
            eprintln!("{error}");
            return ControlFlow::Break(());
        }
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            // The reader of the lines has closed the pipe.
            Err(_) => ControlFlow::Break(()),
        }
    })
    .await?;
    reader.ended().await;
    reader.stop()?;
    Ok(())
}

/// A record as a line; a tombstone has no value.
fn print(record: Record<'_>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(record.key.unwrap_or_default())?;
    out.write_all(b"\t")?;
    out.write_all(record.value.unwrap_or_default())?;
    out.write_all(b"\n")
}
