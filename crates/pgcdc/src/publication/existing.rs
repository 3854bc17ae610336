//! Publications that exist already under the names that were asked for.

use std::collections::{BTreeMap, BTreeSet};

use postgres_protocol::escape::escape_literal;

use super::error::PublicationError;
use super::tables::AskedTable;
use super::warning::PublicationWarning;
use crate::server::Server;
use crate::slots::query;
use crate::{ReaderError, TableName};

/// The publications of the two names, as far as they exist.
pub(super) struct ExistingPublications(Vec<ExistingPublication>);

struct ExistingPublication {
    name: String,
    is_of_all_tables: bool,
    is_via_root: bool,
    has_updates: bool,
    members: BTreeMap<u32, TableName>,
}

impl ExistingPublications {
    pub(super) async fn read(
        server: &Server,
        name: &str,
        inserts_name: &str,
    ) -> Result<Self, ReaderError> {
        let sql = format!(
            "SELECT p.pubname, CASE WHEN p.puballtables THEN 't' ELSE 'f' END, CASE WHEN p.pubviaroot THEN 't' ELSE 'f' END, \
               CASE WHEN p.pubupdate OR p.pubdelete THEN 't' ELSE 'f' END, c.oid, n.nspname, c.relname \
             FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid \
               LEFT JOIN pg_class c ON c.oid = r.prrelid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE p.pubname IN ({}, {}) ORDER BY p.pubname <> {}, n.nspname, c.relname",
            escape_literal(name),
            escape_literal(inserts_name),
            escape_literal(name)
        );
        let mut found = Vec::<ExistingPublication>::new();
        for row in query(server, &sql).await? {
            let text = |index: usize| row.get(index).cloned().flatten();
            let is = |index: usize| text(index).as_deref() == Some("t");
            let name = text(0).unwrap_or_default();
            if found.last().is_none_or(|last| last.name != name) {
                found.push(ExistingPublication {
                    name,
                    is_of_all_tables: is(1),
                    is_via_root: is(2),
                    has_updates: is(3),
                    members: BTreeMap::new(),
                });
            }
            let member = text(4).and_then(|oid| oid.parse().ok());
            if let (Some(last), Some(oid), Some(schema), Some(table)) =
                (found.last_mut(), member, text(5), text(6))
            {
                last.members.insert(oid, TableName::new(schema, table));
            }
        }
        Ok(Self(found))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|found| found.name.clone()).collect()
    }

    /// Refuses publications of other tables.
    pub(super) fn check(&self, asked: &[AskedTable], name: &str) -> Result<(), PublicationError> {
        let expected: BTreeSet<_> = asked
            .iter()
            .flat_map(|asked| std::iter::once(&asked.table).chain(&asked.below))
            .flat_map(|table| std::iter::once(table.oid).chain(table.ancestors.iter().copied()))
            .collect();
        let mut members = self.0.iter().flat_map(|found| &found.members);
        let has_all = asked.iter().all(|asked| self.publisher(asked).is_some());
        if has_all && members.all(|(oid, _)| expected.contains(oid)) {
            return Ok(());
        }
        let has: BTreeSet<_> = self
            .0
            .iter()
            .flat_map(|found| found.members.values())
            .collect();
        Err(PublicationError::OtherTables {
            publication: self.0.first().map_or(name, |found| &found.name).to_owned(),
            has: has.into_iter().cloned().collect(),
            asked: asked.iter().map(|asked| asked.table.name.clone()).collect(),
        })
    }

    /// The publication that has a table: with its updates, if there is one.
    fn publisher(&self, asked: &AskedTable) -> Option<&ExistingPublication> {
        let table = &asked.table;
        let has = |found: &&ExistingPublication| {
            found.is_of_all_tables
                || found.members.contains_key(&table.oid)
                || found
                    .members
                    .keys()
                    .any(|oid| table.ancestors.contains(oid))
        };
        let mut having: Vec<_> = self.0.iter().filter(has).collect();
        having.sort_by_key(|found| !found.has_updates);
        having.first().copied()
    }

    /// What has changed since they were created.
    pub(super) fn warnings(&self, asked: &[AskedTable]) -> Vec<PublicationWarning> {
        let mut warnings = Vec::new();
        for asked in asked {
            let Some(found) = self.publisher(asked) else {
                continue;
            };
            let (table, publication) = (asked.table.name.clone(), found.name.clone());
            if asked.table.is_partitioned() && !found.is_via_root {
                warnings.push(PublicationWarning::UnderPartitions {
                    table: table.clone(),
                    publication: publication.clone(),
                });
            }
            match (asked.no_identity(), found.has_updates) {
                (Some(reason), true) => warnings.push(PublicationWarning::UpdatesFail {
                    table,
                    reason,
                    publication,
                }),
                (Some(reason), false) => {
                    warnings.push(PublicationWarning::InsertsOnly { table, reason });
                }
                (None, false) => {
                    warnings.push(PublicationWarning::InsertsOnlyStill { table, publication });
                }
                (None, true) => {}
            }
        }
        warnings
    }
}
