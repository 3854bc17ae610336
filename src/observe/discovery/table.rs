//! A table whose changes are followed.

use std::sync::Arc;

use crate::observe::request::{CollectionOf, PipelineRequest};
use crate::pipeline::Failure;

/// Columns of the primary key of `pg_class` `c`, as an array of names in the key's order.
pub(super) const KEY_COLUMNS: &str = "coalesce(( \
    SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i \
      CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) \
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
    WHERE i.indrelid = c.oid AND i.indisprimary), '{}')";

/// A table whose changes are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) struct ObservedTable {
    pub(in crate::observe) schema: String,
    pub(in crate::observe) table: String,
    /// `schema.table`.
    pub(in crate::observe) name: Arc<str>,
    /// Columns of its primary key.
    pub(in crate::observe) key: Vec<String>,
}

impl ObservedTable {
    /// The column of its key, where it is a single one.
    pub(super) fn only_key_column(&self) -> Option<String> {
        match &self.key[..] {
            [column] => Some(column.clone()),
            _ => None,
        }
    }

    /// Whether it is meant by this name.
    pub(super) fn is_named(&self, name: &str) -> bool {
        *self.name == *name || self.table == name
    }
}

impl PipelineRequest {
    /// Where this table's rows are in the sink, if the user says it.
    pub(super) fn collection_of(&self, table: &ObservedTable) -> Option<&CollectionOf> {
        let mut collections = self.collections.iter();
        collections.find(|mapped| table.is_named(&mapped.table))
    }

    /// That no other tables than these were said to be in the sink.
    ///
    /// # Errors
    /// Which one was.
    pub(super) fn check_collections(&self, tables: &[ObservedTable]) -> Result<(), Failure> {
        let is_unknown =
            |mapped: &&CollectionOf| !tables.iter().any(|table| table.is_named(&mapped.table));
        match self.collections.iter().find(is_unknown) {
            None => Ok(()),
            Some(mapped) => Err(Failure::usage(anyhow::anyhow!(
                "--sink-collection names table {}, which is not observed",
                mapped.table
            ))),
        }
    }
}
