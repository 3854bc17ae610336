//! What the stream does not say of a table, the server's catalogue does: types of the database's own, and primary keys.

use pgwire_replication::{PgWireError, ReplicationClient};

use super::config::Server;
use super::types::Described;

/// Asks on a connection of its own, opened with the first question.
#[derive(Default)]
pub(super) struct Catalogue(Option<ReplicationClient>);

/// A column as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueColumn {
    /// Name.
    pub name: String,
    /// Whether it may be null.
    pub not_null: bool,
    /// Its position in the primary key.
    pub key: Option<i32>,
    /// The expression of its default.
    pub default: Option<String>,
}

type Rows = Vec<Vec<Option<String>>>;

impl Catalogue {
    /// Every type of the database's own.
    pub(super) async fn types(&mut self, server: &Server) -> Result<Vec<Described>, PgWireError> {
        let question = "SELECT oid, typname, typtype, typelem, typbasetype, typtypmod FROM pg_type WHERE oid >= 16384";
        let rows = self.ask(server, question).await?;
        let described = |row: Vec<Option<String>>| {
            let mut row = row.into_iter().flatten();
            Some(Described {
                oid: row.next()?.parse().ok()?,
                name: row.next()?,
                kind: row.next()?.chars().next()?,
                element: row.next()?.parse().ok()?,
                base: row.next()?.parse().ok()?,
                modifier: row.next()?.parse().ok()?,
            })
        };
        Ok(rows.into_iter().filter_map(described).collect())
    }

    /// A table's columns, in its own order.
    pub(super) async fn columns(
        &mut self,
        server: &Server,
        relation: u32,
    ) -> Result<Vec<CatalogueColumn>, PgWireError> {
        let question = format!(
            "SELECT a.attname, a.attnotnull, array_position(i.indkey::int2[], a.attnum), pg_get_expr(d.adbin, d.adrelid) \
             FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = '' \
             WHERE a.attrelid = {relation} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        );
        let rows = self.ask(server, &question).await?;
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

    async fn ask(&mut self, server: &Server, question: &str) -> Result<Rows, PgWireError> {
        let mut client = match self.0.take() {
            Some(client) => client,
            None => ReplicationClient::connect_gated(server.session()).await?,
        };
        let rows = match client.simple_query(question).await {
            Ok(rows) => rows,
            // It may have been idle for longer than somebody in between allows.
            Err(_) => {
                client = ReplicationClient::connect_gated(server.session()).await?;
                client.simple_query(question).await?
            }
        };
        self.0 = Some(client);
        let text = |value: bytes::Bytes| String::from_utf8_lossy(&value).into_owned();
        Ok(rows
            .into_iter()
            .map(|row| row.into_iter().map(|value| value.map(text)).collect())
            .collect())
    }
}
