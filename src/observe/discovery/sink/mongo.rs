//! MongoDB as the sink: its collections, each with the table whose rows are in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_bench_stack::StoreEndpoint;

use super::key::SinkKey;
use crate::observe::discovery::table::ObservedTable;
use crate::observe::request::{PipelineRequest, SinkChoice};
use crate::pipeline::Failure;
use crate::store::MongoStore;

/// A collection that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) struct SinkCollection {
    pub(in crate::observe) table: Arc<str>,
    /// The column of the key, where it is a single one: an `_id` may be its value alone.
    pub(in crate::observe) key_column: Option<String>,
    /// Where the key is, if it is not `_id`.
    pub(in crate::observe) key: Option<SinkKey>,
}

impl SinkCollection {
    /// Whether a deletion, which has `_id` alone, has the key.
    pub(in crate::observe) fn has_key_in_deletions(&self) -> bool {
        let paths = self.key.iter().flat_map(SinkKey::paths);
        paths.into_iter().all(|path| path[0] == "_id")
    }
}

/// MongoDB as the sink.
pub(in crate::observe) struct MongoSink {
    pub(in crate::observe) store: MongoStore,
    pub(in crate::observe) server: String,
    pub(in crate::observe) collections: BTreeMap<String, SinkCollection>,
}

/// The sink in MongoDB, if there is one to look at.
pub(super) async fn find(
    request: &PipelineRequest,
    endpoint: Option<&StoreEndpoint>,
    tables: &[ObservedTable],
) -> Result<Option<MongoSink>, Failure> {
    let endpoint = match (&request.sink, endpoint) {
        (SinkChoice::MongoDb, None) => {
            return Err(Failure::usage(anyhow::anyhow!(
                "--sink mongodb needs MONGODB_URI in the environment, and its database (--mongodb-database)"
            )));
        }
        (_, None) => return Ok(None),
        (_, Some(endpoint)) => endpoint,
    };
    let store = MongoStore::connect(endpoint).await?;
    let identity = store.identity().await?;
    let existing = store.collection_names().await?;
    let mut collections = BTreeMap::new();
    for table in tables {
        let collection = match request.collection_of(table) {
            Some(mapped) => Some(mapped.collection.clone()),
            None => by_name(table, &existing),
        };
        if let Some(collection) = collection {
            let known = SinkCollection {
                table: Arc::clone(&table.name),
                key_column: table.only_key_column(),
                key: SinkKey::of(request, table)?,
            };
            if let Some(other) = collections.insert(collection.clone(), known) {
                return Err(Failure::usage(anyhow::anyhow!(
                    "collection \"{collection}\" would have the rows of {} and of {}, which cannot be told apart there; say where each table goes (--sink-collection TABLE=COLLECTION), or observe one of them (--table)",
                    other.table,
                    table.name
                )));
            }
        }
    }
    request.check_collections(tables)?;
    if collections.is_empty() {
        if matches!(request.sink, SinkChoice::MongoDb) {
            return Err(Failure::usage(anyhow::anyhow!(
                "database \"{}\" of MongoDB at {} has no collection named as an observed table; it has {}; say where each table goes (--sink-collection TABLE=COLLECTION)",
                store.database_name(),
                store.server(),
                existing.join(", ")
            )));
        }
        return Ok(None);
    }
    Ok(Some(MongoSink {
        server: format!(
            "{} {} at {}, database {}",
            identity.name,
            identity.version,
            store.server(),
            store.database_name()
        ),
        store,
        collections,
    }))
}

/// A collection named as the table, with its schema or without.
fn by_name(table: &ObservedTable, existing: &[String]) -> Option<String> {
    let candidates = [
        table.table.clone(),
        table.name.to_string(),
        format!("{}_{}", table.schema, table.table),
    ];
    let mut candidates = candidates.into_iter();
    candidates.find(|name| existing.contains(name))
}
