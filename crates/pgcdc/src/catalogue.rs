//! Queries of the server's catalogue for what the stream does not carry: user-defined types, primary keys and defaults.

use super::ReaderError;
use super::server::Server;
use super::session::Session;
use super::type_kind::CatalogueType;
use super::wire::TextRows;

/// A connection for catalogue queries, opened by the first query.
#[derive(Default)]
pub(super) struct Catalogue(Option<Session>);

/// A column as the catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueColumn {
    /// Name.
    pub name: String,
    /// Whether it is `NOT NULL`.
    pub not_null: bool,
    /// Its position in the primary key.
    pub key: Option<i32>,
    /// The expression of its default.
    pub default: Option<String>,
}

impl Catalogue {
    /// Every user-defined type.
    pub(super) async fn types(
        &mut self,
        server: &Server,
    ) -> Result<Vec<CatalogueType>, ReaderError> {
        let sql = "SELECT oid, typname, typtype, typelem, typbasetype, typtypmod FROM pg_type WHERE oid >= 16384";
        let rows = self.query(server, sql).await?;
        let catalogue_type = |row: Vec<Option<String>>| {
            let mut row = row.into_iter().flatten();
            Some(CatalogueType {
                oid: row.next()?.parse().ok()?,
                name: row.next()?,
                typtype: row.next()?.chars().next()?,
                element: row.next()?.parse().ok()?,
                base: row.next()?.parse().ok()?,
                modifier: row.next()?.parse().ok()?,
            })
        };
        Ok(rows.into_iter().filter_map(catalogue_type).collect())
    }

    /// A table's columns, in the table's order. Empty for a table that does not exist.
    pub(super) async fn columns(
        &mut self,
        server: &Server,
        relation: u32,
    ) -> Result<Vec<CatalogueColumn>, ReaderError> {
        let sql = format!(
            "SELECT a.attname, a.attnotnull, array_position(i.indkey::int2[], a.attnum), pg_get_expr(d.adbin, d.adrelid) \
             FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = '' \
             WHERE a.attrelid = {relation} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        );
        let rows = self.query(server, &sql).await?;
        let column = |row: Vec<Option<String>>| {
            let mut row = row.into_iter();
            Some(CatalogueColumn {
                name: row.next()??,
                not_null: row.next()?.as_deref() == Some("t"),
                key: row.next()?.and_then(|position| position.parse().ok()),
                default: row.next()?,
            })
        };
        Ok(rows.into_iter().filter_map(column).collect())
    }

    async fn query(&mut self, server: &Server, sql: &str) -> Result<TextRows, ReaderError> {
        let session = match self.0.take() {
            Some(session) => session,
            None => Session::open(server).await?,
        };
        let (session, rows) = match session.query(sql).await {
            Ok(rows) => (session, rows),
            // The connection may have been idle for longer than the server or a proxy allows: try once more on a new one.
            Err(_) => {
                let session = Session::open(server).await?;
                let rows = session.query(sql).await?;
                (session, rows)
            }
        };
        self.0 = Some(session);
        Ok(rows)
    }
}
