//! The tables of the publications, with their published columns and rows.

use std::collections::BTreeMap;

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::part::TablePart;
use crate::pgoutput::{ColumnMessage, ColumnsBuffer, RelationMessage};
use crate::server::session::Session;
use crate::types::catalogue::{Catalogue, CatalogueColumn};
use crate::{ReaderConfig, ReaderError, TableName};

/// A published table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishedTable {
    pub(super) name: TableName,
    oid: u32,
    replica_identity: u8,
    columns: ColumnsBuffer,
    /// Whether a generated column is among them, which `COPY` takes from a query alone.
    has_generated: bool,
    /// The columns in the catalogue, if it was queried.
    pub(super) catalogue: Option<Vec<CatalogueColumn>>,
    /// The rows of a partitioned table are in its partitions; those of an inheritance parent are in the table itself.
    is_partitioned: bool,
    /// Row filters: a published row meets at least one. Empty when every row is published.
    filters: Vec<String>,
    /// What publishes it: publications by OID and the transaction that altered them last, each with the OIDs of its entries for
    /// the table. A table that was taken out of a publication and put back has others.
    publications: Vec<String>,
    pub(super) estimated_rows: Option<u64>,
}

/// The tables of the configured publications, by name.
pub(crate) async fn published_tables(
    config: &ReaderConfig,
    catalogue: &mut Catalogue,
) -> Result<Vec<PublishedTable>, ReaderError> {
    let session = Session::open(&config.server).await?;
    let literals: Vec<_> = config
        .publications
        .iter()
        .map(|name| escape_literal(name))
        .collect();
    // Through JSON: a server before PostgreSQL 15 has neither column lists nor row filters.
    let sql = format!(
        "SELECT p.schemaname, p.tablename, c.oid, c.relreplident, c.relkind = 'p', c.reltuples::bigint, \
           to_jsonb(p)->>'rowfilter', \
           (SELECT jsonb_agg(jsonb_build_array(a.attname, a.atttypid::bigint, a.atttypmod, \
              CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false ELSE coalesce(a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]), false) END, \
              a.attgenerated <> '') ORDER BY a.attnum) \
            FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = c.oid \
              AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END \
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
              AND coalesce(to_jsonb(p)->'attnames' ? a.attname::text, a.attgenerated = '')), \
           concat(pub.oid, '@', pub.xmin, ':', (SELECT string_agg(r.oid::text, '+' ORDER BY r.oid) FROM pg_publication_rel r \
             WHERE r.prpubid = pub.oid AND (r.prrelid = c.oid OR r.prrelid IN (SELECT pg_partition_ancestors(c.oid))))) \
         FROM pg_publication_tables p JOIN pg_publication pub ON pub.pubname = p.pubname JOIN pg_namespace n ON n.nspname = p.schemaname \
           JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
         WHERE p.pubname IN ({}) ORDER BY 1, 2, pub.oid",
        literals.join(", ")
    );
    let mut tables = BTreeMap::<TableName, PublishedTable>::new();
    for row in session.query(&sql).await? {
        let malformed = || ReaderError::Copy {
            source_of_rows: config.server.address(),
            reason: format!("the catalogue's answer is not as expected: {row:?}"),
        };
        let (mut table, filter) = table(&row).ok_or_else(malformed)?;
        let publication = std::mem::take(&mut table.publications);
        let known = tables.entry(table.name.clone()).or_insert_with(|| {
            let mut fresh = table;
            fresh.filters.extend(filter.clone());
            fresh
        });
        known.publications.extend(publication);
        match filter {
            // A publication without a filter publishes every row.
            None => known.filters.clear(),
            Some(filter) if known.filters.is_empty() || known.filters.contains(&filter) => {}
            Some(filter) => known.filters.push(filter),
        }
    }
    let mut tables: Vec<_> = tables.into_values().collect();
    if config.describe {
        for table in &mut tables {
            let found = catalogue.table(&config.server, table.oid, None).await?;
            table.catalogue = Some(found.columns);
        }
    }
    Ok(tables)
}

/// A column as the query writes it: name, type, type modifier, whether it is of the key, and whether it is generated.
type ColumnRow = (String, u32, i32, bool, bool);

/// One row of the result: the table without its row filter, and the filter.
fn table(row: &[Option<String>]) -> Option<(PublishedTable, Option<String>)> {
    let text = |index: usize| row.get(index)?.as_deref();
    let columns: Option<Vec<ColumnRow>> = match text(7) {
        Some(json) => serde_json::from_str(json).ok(),
        None => Some(Vec::new()),
    };
    let columns = columns?;
    let has_generated = columns.iter().any(|(.., is_generated)| *is_generated);
    let columns = columns
        .iter()
        .map(|(name, type_oid, type_modifier, key, _)| ColumnMessage {
            key: *key,
            name,
            type_oid: *type_oid,
            type_modifier: *type_modifier,
        });
    let table = PublishedTable {
        name: TableName::new(text(0)?, text(1)?),
        oid: text(2)?.parse().ok()?,
        replica_identity: *text(3)?.as_bytes().first()?,
        columns: columns.collect(),
        has_generated,
        catalogue: None,
        is_partitioned: text(4)? == "t",
        filters: Vec::new(),
        // -1 for a table that was never analysed.
        estimated_rows: text(5)?.parse().ok(),
        publications: vec![text(8)?.to_owned()],
    };
    Some((table, text(6).map(str::to_owned)))
}

impl PublishedTable {
    /// The table in the form of the stream's description.
    pub(crate) fn description(&self) -> RelationMessage<'_> {
        RelationMessage {
            oid: self.oid,
            schema: &self.name.schema,
            name: &self.name.name,
            replica_identity: self.replica_identity,
            columns: self.columns.columns(),
        }
    }

    pub(crate) fn name(&self) -> &TableName {
        &self.name
    }

    /// What publishes it, as one text.
    pub(super) fn publications(&self) -> String {
        self.publications.join(",")
    }

    pub(super) fn oid(&self) -> u32 {
        self.oid
    }

    /// What to select from for all of its rows, as SQL.
    pub(super) fn source(&self) -> String {
        let only = if self.is_partitioned { "" } else { "ONLY " };
        format!("{only}{}", self.sql_name())
    }

    /// Its name as SQL.
    pub(super) fn sql_name(&self) -> String {
        let (schema, name) = (&self.name.schema, &self.name.name);
        format!("{}.{}", escape_identifier(schema), escape_identifier(name))
    }

    /// The statement that locks it against a rewrite until the transaction ends. It takes the right to select no more than a
    /// column.
    pub(super) fn lock(&self) -> String {
        format!("SELECT FROM {} LIMIT 0", self.source())
    }

    /// What `COPY` copies of a part with rows of its own: the table itself where every row is published, which the server does
    /// faster than a query; further conditions narrow the rows.
    pub(super) fn copied(&self, part: &TablePart, conditions: &[String]) -> String {
        let is_plain = part.blocks.is_some() && self.filters.is_empty() && !self.has_generated;
        if is_plain && conditions.is_empty() && !self.columns.columns().is_empty() {
            return format!("{} ({})", part.name, self.column_names());
        }
        format!("({})", self.selection(&part.source(), conditions))
    }

    fn column_names(&self) -> String {
        let columns = self.columns.columns().iter();
        let names = columns.map(|column| escape_identifier(column.name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Its published columns and rows as SQL, from a part of it; further conditions narrow the rows.
    pub(super) fn selection(&self, source: &str, conditions: &[String]) -> String {
        let filters = self.filters.iter().map(|filter| format!("({filter})"));
        let filter = filters.collect::<Vec<_>>().join(" OR ");
        let filter = (!filter.is_empty()).then(|| format!("({filter})"));
        let conditions: Vec<_> = filter.iter().chain(conditions).map(|all| &**all).collect();
        let mut selection = format!("SELECT {} FROM {source}", self.column_names());
        if !conditions.is_empty() {
            selection += &format!(" WHERE {}", conditions.join(" AND "));
        }
        selection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(filter: Option<&str>) -> Vec<Option<String>> {
        let columns = r#"[["id", 23, -1, true, false], ["a \"b\"", 25, -1, false, false]]"#;
        ["public", "or\"ders", "17000", "d", "f", "-1"]
            .map(|text| Some(text.to_owned()))
            .into_iter()
            .chain(
                [filter, Some(columns), Some("16400@741:16401")]
                    .map(|text| text.map(str::to_owned)),
            )
            .collect()
    }

    #[test]
    fn a_table_is_copied_with_its_published_columns_and_rows() {
        let (mut table, filter) = table(&row(Some("(id > 5)"))).unwrap();
        assert_eq!(filter.as_deref(), Some("(id > 5)"));
        assert_eq!(table.estimated_rows, None);
        let all = "SELECT \"id\", \"a \"\"b\"\"\" FROM ONLY \"public\".\"or\"\"ders\"";
        assert_eq!(table.selection(&table.source(), &[]), all);
        let part = TablePart {
            oid: 17_000,
            filenode: 17_000,
            blocks: Some(1),
            name: "public.orders".to_owned(),
            has_only: true,
        };
        let copied = table.copied(&part, &[]);
        assert_eq!(copied, "public.orders (\"id\", \"a \"\"b\"\"\")");
        table.has_generated = true;
        assert!(table.copied(&part, &[]).starts_with("(SELECT \"id\""));
        table.filters = vec!["(id > 5)".to_owned(), "(id < 2)".to_owned()];
        assert_eq!(
            table.selection(&table.source(), &["ctid < '(8,0)'".to_owned()]),
            format!("{all} WHERE (((id > 5)) OR ((id < 2))) AND ctid < '(8,0)'")
        );
        let columns = table.description().columns.iter();
        assert_eq!(
            columns.map(|column| column.key).collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn an_answer_that_is_not_as_expected_is_no_table() {
        for index in 0..6 {
            let mut row = row(None);
            row[index] = None;
            assert_eq!(table(&row), None, "{index}");
        }
        assert_eq!(table(&[]), None);
    }
}
