//! The tables to publish, as the catalogue describes them.

use std::collections::{BTreeMap, BTreeSet};

use postgres_protocol::escape::escape_literal;

use super::error::PublicationError;
use crate::server::Server;
use crate::slots::query;
use crate::{ReaderError, TableName};

/// A table that was asked for, with its partitions, or with the tables that inherit from it.
#[derive(Debug, Clone)]
pub(super) struct AskedTable {
    pub(super) table: CatalogueTable,
    /// Partitions of every level; or children of every level.
    pub(super) below: Vec<CatalogueTable>,
}

/// A table in the catalogue.
#[derive(Debug, Clone)]
pub(super) struct CatalogueTable {
    pub(super) name: TableName,
    pub(super) oid: u32,
    /// The tables that it is a partition of, of every level.
    pub(super) ancestors: BTreeSet<u32>,
    kind: String,
    persistence: String,
    /// The owner, if the user does not have the owner's rights.
    foreign_owner: Option<String>,
    /// Why an UPDATE of it would fail if its updates were published.
    no_identity: Option<&'static str>,
    has_primary_key: bool,
}

/// Looks up tables, in the order in which they were asked for, each once.
pub(super) async fn look_up(
    server: &Server,
    asked: &[TableName],
) -> Result<Vec<AskedTable>, PublicationError> {
    let rows = query(server, &statement(asked)).await?;
    let mut found = BTreeMap::<usize, AskedTable>::new();
    for row in rows {
        let (ord, is_asked, table) = read(&row).ok_or_else(|| ReaderError::Protocol {
            server: server.address(),
            reason: format!("the catalogue's answer is not as expected: {row:?}"),
        })?;
        if is_asked {
            let below = Vec::new();
            found.insert(ord, AskedTable { table, below });
        } else if let Some(parent) = found.get_mut(&ord) {
            parent.below.push(table);
        }
    }
    for (ord, table) in asked.iter().enumerate() {
        if !found.contains_key(&ord) {
            return Err(PublicationError::NoTable {
                table: table.clone(),
                instead: similar(server, table).await?,
            });
        }
    }
    let mut seen = BTreeSet::new();
    let once = found.into_values();
    Ok(once.filter(|asked| seen.insert(asked.table.oid)).collect())
}

/// Everything that is asked for, and all below it: a row each, a table before what is below it.
fn statement(asked: &[TableName]) -> String {
    let values: Vec<_> = asked
        .iter()
        .enumerate()
        .map(|(ord, table)| {
            let (schema, name) = (escape_literal(&table.schema), escape_literal(&table.name));
            format!("({ord}, {schema}::text, {name}::text)")
        })
        .collect();
    // A deferrable key is no replica identity. Since PostgreSQL 18, neither is one with a generated column that is not published.
    format!(
        "WITH RECURSIVE asked (ord, schema, name) AS (VALUES {}), \
         tree (ord, oid, depth) AS ( \
           SELECT a.ord, c.oid, 0 FROM asked a JOIN pg_namespace n ON n.nspname = a.schema \
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = a.name \
           UNION SELECT t.ord, i.inhrelid, t.depth + 1 FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid \
             JOIN pg_class p ON p.oid = t.oid AND p.relkind IN ('r', 'p')), \
         key AS (SELECT i.indrelid, i.indisprimary, i.indisreplident, i.indimmediate AND i.indisvalid AS is_usable, \
             EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attgenerated <> '') AS is_generated \
           FROM pg_index i WHERE i.indisprimary OR i.indisreplident) \
         SELECT t.ord, t.depth, n.nspname, c.relname, c.oid, c.relkind, c.relpersistence, \
           CASE WHEN n.nspname IN ('pg_catalog', 'information_schema') OR n.nspname LIKE 'pg\\_toast%' THEN 't' ELSE 'f' END, \
           CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') THEN pg_get_userbyid(c.relowner) END, \
           (SELECT string_agg(a.relid::oid::text, ',') FROM pg_partition_ancestors(c.oid) a (relid)), \
           CASE c.relreplident WHEN 'n' THEN 'nothing' \
             WHEN 'f' THEN CASE WHEN current_setting('server_version_num')::int >= 180000 AND EXISTS ( \
               SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '') THEN 'generated' END \
             WHEN 'i' THEN coalesce((SELECT CASE WHEN NOT k.is_usable THEN 'index' \
                 WHEN k.is_generated AND current_setting('server_version_num')::int >= 180000 THEN 'generated' ELSE '' END \
               FROM key k WHERE k.indrelid = c.oid AND k.indisreplident), 'index') \
             ELSE coalesce((SELECT CASE WHEN NOT k.is_usable THEN 'deferrable' \
                 WHEN k.is_generated AND current_setting('server_version_num')::int >= 180000 THEN 'generated' ELSE '' END \
               FROM key k WHERE k.indrelid = c.oid AND k.indisprimary), 'no key') END, \
           EXISTS (SELECT FROM key k WHERE k.indrelid = c.oid AND k.indisprimary AND k.is_usable) \
         FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
         ORDER BY t.ord, t.depth, n.nspname, c.relname",
        values.join(", ")
    )
}

/// A row of the answer: which table was asked for, whether this is it, and the table.
fn read(row: &[Option<String>]) -> Option<(usize, bool, CatalogueTable)> {
    let text = |index: usize| row.get(index)?.as_deref();
    let is_system = text(7)? == "t";
    let ancestors = text(9).unwrap_or_default().split(',');
    let table = CatalogueTable {
        name: TableName::new(text(2)?, text(3)?),
        oid: text(4)?.parse().ok()?,
        ancestors: ancestors.filter_map(|oid| oid.parse().ok()).collect(),
        kind: if is_system { "system" } else { text(5)? }.to_owned(),
        persistence: text(6)?.to_owned(),
        foreign_owner: text(8).map(str::to_owned),
        no_identity: match text(10).unwrap_or_default() {
            "no key" => Some("it has no primary key"),
            "nothing" => Some("its REPLICA IDENTITY is NOTHING"),
            "index" => Some("the index of its REPLICA IDENTITY is gone"),
            "deferrable" => Some("its primary key is DEFERRABLE"),
            "generated" => Some("its REPLICA IDENTITY has a generated column"),
            _ => None,
        },
        has_primary_key: text(11)? == "t",
    };
    Some((text(0)?.parse().ok()?, text(1)? == "0", table))
}

impl CatalogueTable {
    pub(super) fn is_partitioned(&self) -> bool {
        self.kind == "p"
    }

    /// Why it cannot be published, if so: what it is, and what to do.
    fn obstacle(&self) -> Option<(&'static str, &'static str)> {
        Some(match (&*self.kind, &*self.persistence) {
            ("r" | "p", "p") => return None,
            ("r" | "p", "u") => (
                "an unlogged table",
                "; its changes are not in the WAL: ALTER TABLE ... SET LOGGED",
            ),
            ("r" | "p", _) => ("a temporary table", ""),
            ("system", _) => ("a table of the system", ""),
            ("v", _) => ("a view", "; name the tables that it reads"),
            ("m", _) => (
                "a materialized view",
                "; name the tables that it is made from",
            ),
            ("f", _) => ("a foreign table", "; read it on the server that has it"),
            ("S", _) => ("a sequence", ""),
            ("i" | "I", _) => ("an index", ""),
            ("c", _) => ("a type", ""),
            _ => ("no table", ""),
        })
    }

    /// Whether it can be published.
    pub(super) fn is_publishable(&self) -> bool {
        self.obstacle().is_none()
    }

    /// Refuses what cannot be published, or not by this user.
    pub(super) fn check(&self, user: &str) -> Result<(), PublicationError> {
        if let Some((kind, advice)) = self.obstacle() {
            return Err(PublicationError::NotPublishable {
                table: self.name.clone(),
                kind,
                advice,
            });
        }
        match &self.foreign_owner {
            Some(owner) => Err(PublicationError::NotOwner {
                table: self.name.clone(),
                user: user.to_owned(),
                owner: owner.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Why an UPDATE of it would fail if its updates were published.
    pub(super) fn no_identity(&self) -> Option<&'static str> {
        self.no_identity
    }
}

impl AskedTable {
    /// Partitions that hold rows.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &CatalogueTable> {
        self.below.iter().filter(|table| !table.is_partitioned())
    }

    /// Why an update of it, or of one of its partitions, would fail if updates were published.
    pub(super) fn no_identity(&self) -> Option<String> {
        if !self.table.is_partitioned() {
            return self.table.no_identity().map(str::to_owned);
        }
        let mut without = self
            .leaves()
            .filter(|leaf| leaf.is_publishable())
            .filter_map(|leaf| Some((leaf, leaf.no_identity()?)));
        if let Some((leaf, reason)) = without.next() {
            return Some(format!("of its partition {}, {reason}", leaf.name.to_sql()));
        }
        let has_leaves = self.leaves().next().is_some();
        (!has_leaves && !self.gives_identity()).then(|| "it has no primary key".to_owned())
    }

    /// Whether every partition to come will have an identity: a primary key goes to partitions, `REPLICA IDENTITY` does not.
    pub(super) fn gives_identity(&self) -> bool {
        self.table.has_primary_key
    }
}

/// Tables of the same name in another case or schema, those of the schema first.
async fn similar(server: &Server, table: &TableName) -> Result<Vec<TableName>, ReaderError> {
    let (schema, name) = (escape_literal(&table.schema), escape_literal(&table.name));
    let dotted = escape_literal(&format!("{}.{}", table.schema, table.name));
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' \
           AND (translate(lower(c.relname), ' -_', '') = translate(lower({name}), ' -_', '') OR lower(c.relname) = lower({dotted}) \
             OR (n.nspname = {schema} AND c.relname IN ({name} || 's', rtrim({name}, 's')))) \
         ORDER BY n.nspname <> {schema}, n.nspname, c.relname LIMIT 5"
    );
    let rows = query(server, &sql).await?;
    let table = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().flatten();
        Some(TableName::new(row.next()?, row.next()?))
    };
    Ok(rows.into_iter().filter_map(table).collect())
}
