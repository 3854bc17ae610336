//! What the rows of each table look like: the stream says so before a table's first row, and again when it changed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::pgoutput::RelationMessage;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// OID of its type.
    pub type_oid: u32,
    /// Its type's modifier (`atttypmod`), -1 when it has none.
    pub type_modifier: i32,
    /// Whether it belongs to the replica identity's key.
    pub key: bool,
}

/// A table as the stream describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// OID.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<Column>,
}

impl Relation {
    /// Position of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Every table seen so far, by OID. A description replaces the one before it.
#[derive(Debug, Default)]
pub struct Relations(HashMap<u32, Arc<Relation>>);

impl Relations {
    /// Takes a description in.
    pub fn describe(&mut self, message: &RelationMessage<'_>) {
        let columns = message.columns.iter().map(|column| Column {
            name: column.name.to_owned(),
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            key: column.key,
        });
        let schema = if message.schema.is_empty() {
            "pg_catalog"
        } else {
            message.schema
        };
        let relation = Relation {
            oid: message.oid,
            schema: schema.to_owned(),
            name: message.name.to_owned(),
            columns: columns.collect(),
        };
        self.0.insert(message.oid, Arc::new(relation));
    }

    /// The table of a row.
    #[must_use]
    pub fn get(&self, oid: u32) -> Option<&Arc<Relation>> {
        self.0.get(&oid)
    }
}
