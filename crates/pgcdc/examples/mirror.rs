//! Mirrors a table in memory, and prints it after each transaction.
//!
//! ```sh
//! psql -c "CREATE TABLE items (id int PRIMARY KEY, name text); CREATE PUBLICATION items FOR TABLE items"
//! PGHOST=127.0.0.1 PGUSER=postgres PGPASSWORD=... PGDATABASE=shop cargo run -p pgcdc --example mirror
//! psql -c "INSERT INTO items VALUES (1, 'one')"
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use pgcdc::pgoutput::{OldTuple, Tuple, Value};
use pgcdc::{
    Change, Event, Operation, Reader, ReaderConfig, Server, Slot, SlotName, SnapshotConfig,
};

/// The table: rows by key, with every column in PostgreSQL's text format.
#[derive(Debug, Default)]
struct Mirror(BTreeMap<String, BTreeMap<String, Option<String>>>);

impl Mirror {
    fn apply(&mut self, change: &Change<'_>) {
        let relation = change.relation;
        let key_of = |row: &Tuple<'_>| {
            let key = relation.columns.iter().zip(row);
            key.filter(|(column, _)| column.key)
                .map(|(_, value)| format!("{value:?}"))
                .collect::<String>()
        };
        let old = change.old.as_ref().map(|old| match old {
            OldTuple::Key(row) | OldTuple::Full(row) => key_of(row),
        });
        if let Operation::Truncate { .. } = change.operation {
            self.0.clear();
        }
        // The key changed, or the row was deleted. Columns that were not sent with the new row keep the old value.
        let before = old.and_then(|key| self.0.remove(&key));
        let Some(new) = &change.new else {
            return;
        };
        let mut row = before
            .or_else(|| self.0.remove(&key_of(new)))
            .unwrap_or_default();
        for (column, value) in relation.columns.iter().zip(new) {
            let value = match value {
                Value::Unchanged => continue,
                Value::Text(text) => Some(text.to_owned()),
                Value::Null | Value::Binary(_) => None,
            };
            row.insert(column.name.clone(), value);
        }
        self.0.insert(key_of(new), row);
    }
}

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
    // Dropped by the server when this program ends.
    let slot = Slot::Temporary(SlotName::new("mirror")?);
    let config = ReaderConfig {
        // Existing rows first, then every change.
        snapshot: Some(SnapshotConfig::default()),
        ..ReaderConfig::new(server, slot, ["items"])
    };
    let mut mirror = Mirror::default();
    let reader = Reader::spawn(config, move |event| {
        match event {
            Event::Change(change) => mirror.apply(&change),
            Event::Commit(commit) => {
                println!("at {}: {:#?}", commit.end_lsn, mirror.0);
            }
            Event::Copied(table) => {
                println!("{} as of {}: {:#?}", table.relation, table.point, mirror.0);
            }
            Event::Snapshot(_)
            | Event::Begin(_)
            | Event::Message(_)
            | Event::Schema(_)
            | Event::Idle(_) => {}
        }
        ControlFlow::Continue(())
    })
    .await?;
    reader.ended().await;
    reader.stop()?;
    Ok(())
}
