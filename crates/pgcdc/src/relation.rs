//! What the rows of each table look like: the stream says so before a table's first row, and again when it changed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::catalogue::CatalogueColumn;
use super::pgoutput::RelationMessage;
use super::types::{Kind, Types};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// OID of its type.
    pub type_oid: u32,
    /// Its type's modifier (`atttypmod`), of a domain the one it sets; -1 when there is none.
    pub type_modifier: i32,
    /// What its values look like.
    pub kind: Kind,
    /// Whether it belongs to the replica identity's key.
    pub key: bool,
    /// Whether it may be null, where the catalogue was asked.
    pub not_null: Option<bool>,
    /// The expression of its default, where the catalogue was asked.
    pub default: Option<String>,
}

/// Name of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl TableName {
    /// The table of this name in this schema.
    #[must_use]
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// `REPLICA IDENTITY`: what the stream tells of a row before its change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key, where there is one.
    Default,
    /// Nothing.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of a unique index.
    Index,
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
    /// What is told of an old row.
    pub replica_identity: ReplicaIdentity,
    /// The columns of the primary key, in its order, where the catalogue was asked
    /// ([`ReaderConfig::describe`](super::ReaderConfig)); else those of the replica identity, unless that is the whole row.
    pub primary_key: Vec<usize>,
    /// Columns in order.
    pub columns: Vec<Column>,
}

impl Relation {
    /// Its name.
    #[must_use]
    pub fn table_name(&self) -> TableName {
        TableName::new(&*self.schema, &*self.name)
    }

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
pub struct Relations {
    known: HashMap<u32, Arc<Relation>>,
    types: Types,
}

impl Relations {
    /// Takes a description in. `catalogue` is what it says, where it was asked.
    pub fn describe(
        &mut self,
        message: &RelationMessage<'_>,
        catalogue: Option<&[CatalogueColumn]>,
    ) -> &Arc<Relation> {
        let in_catalogue = |name: &str| {
            let columns = catalogue.unwrap_or_default();
            columns.iter().find(|column| column.name == name)
        };
        let columns = message.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| {
                let known = self.types.get(column.type_oid);
                Column {
                    name: column.name.to_owned(),
                    type_oid: column.type_oid,
                    type_modifier: if known.modifier == -1 {
                        column.type_modifier
                    } else {
                        known.modifier
                    },
                    kind: known.kind,
                    key: column.key,
                    not_null: in_catalogue(column.name).map(|known| known.not_null),
                    default: in_catalogue(column.name).and_then(|known| known.default.clone()),
                }
            })
            .collect();
        let replica_identity = match message.replica_identity {
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        };
        let position = |name: &String| columns.iter().position(|column| column.name == *name);
        let primary_key = match catalogue {
            Some(known) => {
                let mut key: Vec<_> = known
                    .iter()
                    .filter_map(|column| Some((column.key?, position(&column.name)?)))
                    .collect();
                key.sort_unstable();
                key.into_iter().map(|(_, index)| index).collect()
            }
            None if replica_identity == ReplicaIdentity::Full => Vec::new(),
            None => (0..columns.len())
                .filter(|&index| columns[index].key)
                .collect(),
        };
        let schema = if message.schema.is_empty() {
            "pg_catalog"
        } else {
            message.schema
        };
        let relation = Relation {
            oid: message.oid,
            schema: schema.to_owned(),
            name: message.name.to_owned(),
            replica_identity,
            primary_key,
            columns,
        };
        let slot = self.known.entry(message.oid);
        slot.insert_entry(Arc::new(relation)).into_mut()
    }

    /// The table of a row.
    #[must_use]
    pub fn get(&self, oid: u32) -> Option<&Arc<Relation>> {
        self.known.get(&oid)
    }

    /// Whether a description names a type that the catalogue has to be asked for.
    pub(super) fn lacks_a_type_of(&self, message: &RelationMessage<'_>) -> bool {
        message
            .columns
            .iter()
            .any(|column| self.types.lacks(column.type_oid))
    }

    /// The types that are known.
    pub(super) fn types_mut(&mut self) -> &mut Types {
        &mut self.types
    }
}
