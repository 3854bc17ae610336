//! Descriptions of tables. The stream describes a table before its first row, and again when its definition has changed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::TableName;
use super::catalogue::CatalogueColumn;
use super::pgoutput::RelationMessage;
use super::type_kind::{TypeKind, Types};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// OID of its type.
    pub type_oid: u32,
    /// Its type modifier (`atttypmod`); for a domain the modifier that the domain sets; -1 without one.
    pub type_modifier: i32,
    /// The format of its values.
    pub kind: TypeKind,
    /// Whether it belongs to the key of the replica identity.
    pub key: bool,
    /// Whether it is `NOT NULL`; known with [`ReaderConfig::describe`](super::ReaderConfig).
    pub not_null: Option<bool>,
    /// The expression of its default; known with [`ReaderConfig::describe`](super::ReaderConfig).
    pub default: Option<String>,
}

/// `REPLICA IDENTITY`: which columns of the old row the stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// Those of the primary key, if the table has one.
    Default,
    /// None.
    Nothing,
    /// All.
    Full,
    /// Those of a unique index.
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
    /// Which columns of the old row the stream carries.
    pub replica_identity: ReplicaIdentity,
    /// Positions of the primary key's columns, in the order of the key, with
    /// [`ReaderConfig::describe`](super::ReaderConfig); without it the columns of the replica identity, or none when that is
    /// the whole row.
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

/// Every table described so far, by OID. A description replaces the previous one of its table.
#[derive(Debug, Default)]
pub struct Relations {
    known: HashMap<u32, Arc<Relation>>,
    types: Types,
}

impl Relations {
    /// Adds a description. `catalogue` holds the table's columns in the catalogue, if it was queried.
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

    /// The table with this OID.
    #[must_use]
    pub fn get(&self, oid: u32) -> Option<&Arc<Relation>> {
        self.known.get(&oid)
    }

    /// Whether a description has a user-defined type that has not been looked up in the catalogue.
    pub(super) fn lacks_a_type_of(&self, message: &RelationMessage<'_>) -> bool {
        message
            .columns
            .iter()
            .any(|column| self.types.lacks(column.type_oid))
    }

    /// The known types.
    pub(super) fn types_mut(&mut self) -> &mut Types {
        &mut self.types
    }
}
