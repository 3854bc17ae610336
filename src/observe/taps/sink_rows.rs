//! Tables of the sink, described as if their keys were those of the source: the same columns, by the same names.

use std::collections::HashMap;
use std::sync::Arc;

use pgcdc::Relation;

use crate::observe::discovery::SinkTable;

/// The descriptions by the tables' OIDs, each with the one that it was made of.
#[derive(Debug, Default)]
pub(super) struct SourceKeys {
    known: HashMap<u32, (Arc<Relation>, Arc<Relation>)>,
}

impl SourceKeys {
    /// A table of the sink with the key of its table of the source.
    pub(super) fn relation(&mut self, relation: &Arc<Relation>, of: &SinkTable) -> &Arc<Relation> {
        let made = || {
            let made = with_key_of(relation, of);
            (Arc::clone(relation), Arc::new(made))
        };
        let known = self.known.entry(relation.oid).or_insert_with(made);
        if !Arc::ptr_eq(&known.0, relation) {
            *known = made();
        }
        &known.1
    }
}

fn with_key_of(relation: &Relation, of: &SinkTable) -> Relation {
    let mut made = relation.clone();
    if of.columns.names.is_empty() {
        name_as_source(&mut made, &of.key);
    } else {
        let columns = &mut made.columns;
        let places = of.columns.names.iter().zip(&of.key);
        let places = places.filter_map(|(name, key)| {
            let place = relation
                .columns
                .iter()
                .position(|known| known.name == *name)?;
            columns[place].name.clone_from(key);
            Some(place)
        });
        made.primary_key = places.collect();
    }
    made
}

/// Case is not looked at: a sink that does not quote its columns writes them in small letters.
fn name_as_source(made: &mut Relation, key: &[String]) {
    for column in &mut made.columns {
        let mut names = key.iter();
        if let Some(name) = names.find(|name| name.eq_ignore_ascii_case(&column.name)) {
            column.name.clone_from(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use pgcdc::{BinaryFormat, Column, ReplicaIdentity, TypeKind};

    use super::*;
    use crate::observe::discovery::KeyColumns;

    fn relation(columns: &[&str]) -> Arc<Relation> {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            type_oid: 20,
            type_modifier: -1,
            kind: TypeKind::Integer,
            binary: BinaryFormat::Other,
            key: true,
            not_null: None,
            default: None,
        };
        Arc::new(Relation {
            oid: 7,
            schema: "public".to_owned(),
            name: "shop_public_orders".to_owned(),
            replica_identity: ReplicaIdentity::Default,
            primary_key: vec![0],
            unique_index: Vec::new(),
            columns: columns.iter().map(column).collect(),
        })
    }

    #[test]
    fn columns_of_the_key_have_the_sources_names() {
        let of = SinkTable {
            key: vec!["orderId".to_owned()],
            ..SinkTable::default()
        };
        let mut keys = SourceKeys::default();
        let names = |relation: &Relation| {
            let names = relation.columns.iter().map(|column| column.name.clone());
            names.collect::<Vec<_>>()
        };
        let sinks = relation(&["orderid", "note"]);
        assert_eq!(names(keys.relation(&sinks, &of)), ["orderId", "note"]);
        // A column was added.
        let sinks = relation(&["orderid", "note", "more"]);
        assert_eq!(
            names(keys.relation(&sinks, &of)),
            ["orderId", "note", "more"]
        );
    }

    #[test]
    fn columns_that_are_said_are_the_key() {
        let of = SinkTable {
            key: vec!["region".to_owned(), "id".to_owned()],
            columns: KeyColumns {
                names: vec!["area".to_owned(), "order_id".to_owned()],
                are_in_deletions: true,
            },
            ..SinkTable::default()
        };
        let made = with_key_of(&relation(&["id", "order_id", "area"]), &of);
        assert_eq!(made.primary_key, [2, 1]);
        assert_eq!(made.columns[2].name, "region");
        assert_eq!(made.columns[1].name, "id");
    }
}
