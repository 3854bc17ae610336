//! Descriptions of tables. The stream describes a table before its first row, and again when its definition has changed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::TableName;
use crate::pgoutput::RelationMessage;
use crate::types::Types;
use crate::types::catalogue::CatalogueColumn;
use crate::types::kind::{BinaryFormat, TypeKind};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// OID of its type.
    pub type_oid: u32,
    /// Its type modifier (`atttypmod`); for a domain the modifier that the domain sets; -1 without one.
    pub type_modifier: i32,
    /// The text format of its values.
    pub kind: TypeKind,
    /// The binary format of its values.
    pub binary: BinaryFormat,
    /// Whether it belongs to the key of the replica identity.
    pub key: bool,
    /// Whether it is `NOT NULL`; known with [`ReaderConfig::describe`](crate::ReaderConfig), unless the column was changed
    /// after the transaction that is read.
    pub not_null: Option<bool>,
    /// The expression of its default; known with [`ReaderConfig::describe`](crate::ReaderConfig), unless the default was
    /// changed after the transaction that is read.
    pub default: Option<String>,
}

impl Column {
    /// The elements of this array, as a column. In text format their OID is not known, and 0.
    pub(crate) fn element(&self, type_oid: u32) -> Self {
        let kind = match &self.kind {
            TypeKind::Array(element) => TypeKind::clone(element),
            _ => TypeKind::Text,
        };
        let binary = match &self.binary {
            BinaryFormat::Array(element) => BinaryFormat::clone(element),
            _ => BinaryFormat::Other,
        };
        self.part(type_oid, kind, binary)
    }

    /// The bounds of this range, as a column.
    pub(crate) fn bound(&self) -> Self {
        let binary = match &self.binary {
            BinaryFormat::Range(bound) => BinaryFormat::clone(bound),
            _ => BinaryFormat::Other,
        };
        self.part(0, TypeKind::Text, binary)
    }

    fn part(&self, type_oid: u32, kind: TypeKind, binary: BinaryFormat) -> Self {
        Self {
            name: self.name.clone(),
            type_oid,
            type_modifier: self.type_modifier,
            kind,
            binary,
            key: false,
            not_null: None,
            default: None,
        }
    }
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
    /// [`ReaderConfig::describe`](crate::ReaderConfig); without it the columns of the replica identity, or none when that is
    /// the whole row.
    ///
    /// The stream says what the replica identity was when a change was made, and the catalogue what the key is now. With
    /// `REPLICA IDENTITY DEFAULT` the two must agree, or the stream's is taken. With another identity the catalogue's is taken
    /// if all its columns are published and it was made no later than the transaction that is read; otherwise the columns of
    /// the identity's index, or none.
    pub primary_key: Vec<usize>,
    /// Without a primary key: positions of the columns of a unique index, in its order, with
    /// [`ReaderConfig::describe`](crate::ReaderConfig). The first index by name that has no expression, as Debezium takes it:
    /// it may be partial, and its columns may be null. Empty without one, or when it was made later than the transaction that
    /// is read.
    pub unique_index: Vec<usize>,
    /// Columns in order.
    pub columns: Vec<Column>,
}

impl Relation {
    /// Its name.
    #[must_use]
    pub fn table_name(&self) -> TableName {
        TableName::new(&*self.schema, &*self.name)
    }

    /// Whether the stream describes both in the same way.
    pub(crate) fn has_shape_of(&self, other: &Self) -> bool {
        let same = |(ours, theirs): (&Column, &Column)| {
            ours.name == theirs.name
                && ours.type_oid == theirs.type_oid
                && ours.type_modifier == theirs.type_modifier
                && ours.key == theirs.key
        };
        self.schema == other.schema
            && self.name == other.name
            && self.replica_identity == other.replica_identity
            && self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(same)
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
    /// Tables and columns that were warned of.
    warned: HashSet<(u32, String)>,
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
                    binary: known.binary,
                    key: column.key,
                    not_null: in_catalogue(column.name).and_then(|known| known.not_null),
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
        let (primary_key, unique_index) = keys(&columns, replica_identity, catalogue);
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
            unique_index,
            columns,
        };
        self.warn_of_assumed_types(&relation);
        let slot = self.known.entry(message.oid);
        slot.insert_entry(Arc::new(relation)).into_mut()
    }

    /// The table with this OID.
    #[must_use]
    pub fn get(&self, oid: u32) -> Option<&Arc<Relation>> {
        self.known.get(&oid)
    }

    /// Warns, once, of each column whose values are text only because nothing is known of its type.
    fn warn_of_assumed_types(&mut self, relation: &Relation) {
        for column in &relation.columns {
            let (name, type_oid) = (&column.name, column.type_oid);
            if self.types.is_assumed(type_oid) && self.warned.insert((relation.oid, name.clone())) {
                tracing::warn!(
                    table = %relation,
                    column = name,
                    type_oid,
                    "the column's type is one that is not known, or no longer there: its values are delivered as text"
                );
            }
        }
    }

    /// The known types.
    pub(crate) fn types(&self) -> &Types {
        &self.types
    }

    /// The same, to add to.
    pub(crate) fn types_mut(&mut self) -> &mut Types {
        &mut self.types
    }
}

/// The primary key, and the unique index of a table without one: see [`Relation`].
fn keys(
    columns: &[Column],
    identity: ReplicaIdentity,
    catalogue: Option<&[CatalogueColumn]>,
) -> (Vec<usize>, Vec<usize>) {
    let of_identity: Vec<_> = match identity {
        ReplicaIdentity::Default | ReplicaIdentity::Index => (0..columns.len())
            .filter(|&index| columns[index].key)
            .collect(),
        ReplicaIdentity::Nothing | ReplicaIdentity::Full => Vec::new(),
    };
    let Some(catalogue) = catalogue else {
        return (of_identity, Vec::new());
    };
    let in_catalogue = |place: fn(&CatalogueColumn) -> Option<i32>| {
        let mut key: Vec<_> = catalogue
            .iter()
            .filter_map(|column| Some((place(column)?, &column.name)))
            .collect();
        key.sort_unstable();
        let position = |name: &String| columns.iter().position(|column| column.name == *name);
        let key = key.into_iter().map(|(_, name)| position(name));
        // Without one of its columns, it is no key.
        key.collect::<Option<Vec<_>>>().unwrap_or_default()
    };
    let primary = in_catalogue(|column| column.key);
    let mut sorted = primary.clone();
    sorted.sort_unstable();
    let is_identity = sorted == of_identity;
    if !primary.is_empty()
        && (is_identity || of_identity.is_empty() || identity == ReplicaIdentity::Index)
    {
        return (primary, Vec::new());
    }
    let unique = in_catalogue(|column| column.unique);
    if of_identity.is_empty() || (identity == ReplicaIdentity::Index && !unique.is_empty()) {
        return (Vec::new(), unique);
    }
    (of_identity, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgoutput::{ColumnMessage, ColumnsBuffer};

    /// A column's name, and its positions in the primary key and in a unique index.
    type InCatalogue = (&'static str, Option<i32>, Option<i32>);

    /// The keys of a table of columns a, b and c, of which `flagged` are in the replica identity's key.
    fn keys_of(
        identity: u8,
        flagged: &str,
        catalogue: Option<&[InCatalogue]>,
    ) -> (Vec<usize>, Vec<usize>) {
        let columns: ColumnsBuffer = ["a", "b", "c"]
            .into_iter()
            .map(|name| ColumnMessage {
                key: flagged.contains(name),
                name,
                type_oid: 23,
                type_modifier: -1,
            })
            .collect();
        let message = RelationMessage {
            oid: 1,
            schema: "public",
            name: "t",
            replica_identity: identity,
            columns: columns.columns(),
        };
        let catalogue: Option<Vec<_>> = catalogue.map(|columns| {
            let column = |(name, key, unique): &InCatalogue| CatalogueColumn {
                name: (*name).to_owned(),
                not_null: None,
                key: *key,
                unique: *unique,
                default: None,
            };
            columns.iter().map(column).collect()
        });
        let mut relations = Relations::default();
        let relation = relations.describe(&message, catalogue.as_deref());
        (relation.primary_key.clone(), relation.unique_index.clone())
    }

    #[test]
    fn the_catalogues_primary_key_is_taken_in_its_order_where_the_stream_agrees() {
        let now = [
            ("a", Some(1), None),
            ("b", Some(0), None),
            ("c", None, None),
        ];
        assert_eq!(keys_of(b'd', "ab", Some(&now)), (vec![1, 0], vec![]));
        assert_eq!(keys_of(b'f', "abc", Some(&now)), (vec![1, 0], vec![]));
        assert_eq!(keys_of(b'n', "", Some(&now)), (vec![1, 0], vec![]));
        assert_eq!(keys_of(b'i', "c", Some(&now)), (vec![1, 0], vec![]));
        // Without a catalogue, the replica identity's.
        assert_eq!(keys_of(b'd', "ab", None), (vec![0, 1], vec![]));
        assert_eq!(keys_of(b'f', "abc", None), (vec![], vec![]));
    }

    #[test]
    fn a_key_that_was_changed_since_is_the_one_of_the_replica_identity() {
        // The key was on a, and is on c now; or on a column that was not there; or gone.
        let other = [("a", None, None), ("c", Some(0), None)];
        let added = [("a", None, None), ("d", Some(0), None)];
        let gone = [("a", None, None), ("b", None, Some(0))];
        for now in [&other, &added, &gone] {
            assert_eq!(keys_of(b'd', "a", Some(now)), (vec![0], vec![]));
        }
        assert_eq!(keys_of(b'f', "abc", Some(&added)), (vec![], vec![]));
        assert_eq!(keys_of(b'i', "a", Some(&added)), (vec![0], vec![]));
    }

    #[test]
    fn without_a_primary_key_a_unique_index_is_known() {
        let now = [("a", None, Some(1)), ("b", None, Some(0))];
        for identity in [b'd', b'f', b'n'] {
            let flagged = if identity == b'f' { "abc" } else { "" };
            assert_eq!(keys_of(identity, flagged, Some(&now)), (vec![], vec![1, 0]));
        }
        // Not the one of the replica identity, as Debezium.
        assert_eq!(keys_of(b'i', "c", Some(&now)), (vec![], vec![1, 0]));
        let unpublished = [("a", None, Some(1)), ("d", None, Some(0))];
        assert_eq!(keys_of(b'f', "abc", Some(&unpublished)), (vec![], vec![]));
    }
}
