//! Queries of the server's catalogue for what the stream does not carry: user-defined types, primary keys and defaults.

use crate::server::Server;
use crate::server::session::Session;
use crate::types::CatalogueType;
use crate::wire::TextRows;
use crate::{ReaderError, Xid};

/// A connection for catalogue queries, opened by the first query.
#[derive(Default)]
pub(crate) struct Catalogue(Option<Session>);

/// A column as the catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueColumn {
    /// Name.
    pub name: String,
    /// Whether it is `NOT NULL`; `None` when the column was changed after the changes that are described.
    pub not_null: Option<bool>,
    /// Its position in the primary key.
    pub key: Option<i32>,
    /// Its position in a unique index, of a table without a primary key: the first one by name without an expression.
    pub unique: Option<i32>,
    /// The expression of its default.
    pub default: Option<String>,
}

/// A table as the catalogue describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CatalogueTable {
    /// Its columns, in the table's order. Empty for a table that does not exist.
    pub(crate) columns: Vec<CatalogueColumn>,
    /// The last transaction that changed what is described here, if it is later than the one that is read: what it changed is
    /// left out of the columns.
    pub(crate) changed_by: Option<Xid>,
}

impl Catalogue {
    /// User-defined types with these OIDs, and the types that they refer to.
    pub(crate) async fn types(
        &mut self,
        server: &Server,
        oids: &[u32],
    ) -> Result<Vec<CatalogueType>, ReaderError> {
        let oids: Vec<_> = oids.iter().map(u32::to_string).collect();
        let sql = format!(
            "WITH RECURSIVE described AS ( \
               SELECT t.*, greatest(t.typbasetype, r.rngsubtype) AS base FROM pg_type t LEFT JOIN pg_range r ON r.rngtypid = t.oid \
             ), wanted AS ( \
               SELECT oid, typname, typtype, typcategory, typelem, base, typtypmod FROM described WHERE oid IN ({}) \
               UNION \
               SELECT t.oid, t.typname, t.typtype, t.typcategory, t.typelem, t.base, t.typtypmod \
               FROM described t JOIN wanted w ON t.oid IN (w.typelem, w.base) WHERE t.oid >= 10000 \
             ) SELECT * FROM wanted",
            oids.join(", ")
        );
        let rows = self.query(server, &sql).await?;
        let catalogue_type = |row: Vec<Option<String>>| {
            let mut row = row.into_iter().flatten();
            Some(CatalogueType {
                oid: row.next()?.parse().ok()?,
                name: row.next()?,
                typtype: row.next()?.chars().next()?,
                category: row.next()?.chars().next()?,
                element: row.next()?.parse().ok()?,
                base: row.next()?.parse().ok()?,
                modifier: row.next()?.parse().ok()?,
            })
        };
        Ok(rows.into_iter().filter_map(catalogue_type).collect())
    }

    /// Number of decimals of `money` in the locale of this user's sessions in this database, which is the stream's too.
    pub(crate) async fn money_decimals(&mut self, server: &Server) -> Result<u8, ReaderError> {
        let rows = self
            .query(server, "SELECT scale(1::money::numeric)")
            .await?;
        let scale = rows.first().and_then(|row| row.first()?.as_deref());
        // The C locale's, as PostgreSQL takes it for a locale without one.
        Ok(scale.and_then(|scale| scale.parse().ok()).unwrap_or(2))
    }

    /// A table, as of a transaction: without what was changed by later ones.
    pub(crate) async fn table(
        &mut self,
        server: &Server,
        relation: u32,
        as_of: Option<Xid>,
    ) -> Result<CatalogueTable, ReaderError> {
        // Indexes in the order of the JDBC driver, by which Debezium takes the first.
        let sql = format!(
            "SELECT a.attname, a.attnotnull, \
               array_position((p.indkey::int2[])[0:p.indnkeyatts - 1], a.attnum), \
               array_position(u.indkey::int2[], a.attnum), \
               pg_get_expr(d.adbin, d.adrelid), \
               a.xmin, coalesce(p.xmin, u.made), d.xmin, txid_snapshot_xmax(txid_current_snapshot()) \
             FROM pg_attribute a LEFT JOIN pg_index p ON p.indrelid = a.attrelid AND p.indisprimary \
             LEFT JOIN LATERAL (SELECT i.indkey, i.xmin AS made FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
               WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indexprs IS NULL \
               ORDER BY i.indisclustered DESC, c.relname LIMIT 1) u ON p.indexrelid IS NULL \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = '' \
             WHERE a.attrelid = {relation} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        );
        let rows = self.query(server, &sql).await?;
        let mut table = CatalogueTable::default();
        for row in &rows {
            table
                .columns
                .extend(column(row, as_of, &mut table.changed_by));
        }
        Ok(table)
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

/// A column of a table's description as of a transaction. Notes the transaction that has changed the column since.
fn column(
    row: &[Option<String>],
    as_of: Option<Xid>,
    changed_by: &mut Option<Xid>,
) -> Option<CatalogueColumn> {
    let text = |index: usize| row.get(index)?.as_deref();
    let number = |index: usize| text(index).and_then(|text| text.parse().ok());
    let next: u64 = text(8)?.parse().ok()?;
    let mut is_of_the_time = |index: usize| {
        let made = text(index).and_then(|xid| xid.parse().ok());
        let (Some(as_of), Some(made)) = (as_of, made) else {
            return true;
        };
        let is_later = is_between(as_of.0, made, next);
        if is_later && changed_by.is_none_or(|last| is_between(last.0, made, next)) {
            *changed_by = Some(Xid(made));
        }
        !is_later
    };
    let column_is = is_of_the_time(5);
    let key_is = is_of_the_time(6);
    let default_is = is_of_the_time(7);
    Some(CatalogueColumn {
        name: text(0)?.to_owned(),
        not_null: column_is.then_some(text(1)? == "t"),
        key: number(2).filter(|_| key_is),
        unique: number(3).filter(|_| key_is),
        default: text(4).filter(|_| default_is).map(str::to_owned),
    })
}

/// Whether a transaction began after another and before the next one. Transaction ids are a circle, on which a row that was
/// frozen long ago may stand anywhere.
fn is_between(earlier: u32, xid: u32, next: u64) -> bool {
    let distance = xid.wrapping_sub(earlier);
    #[allow(clippy::cast_possible_truncation)]
    let to_next = (next as u32).wrapping_sub(earlier);
    distance > 0 && distance < to_next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(xids: [u32; 4]) -> Vec<Option<String>> {
        let [column, key, default, next] = xids.map(|xid| Some(xid.to_string()));
        let mut row = ["id", "t", "0"].map(|text| Some(text.to_owned())).to_vec();
        row.extend([None, Some("5".to_owned()), column, key, default, next]);
        row
    }

    #[test]
    fn what_a_later_transaction_changed_is_left_out() {
        let (as_of, mut changed_by) = (Some(Xid(100)), None);
        let old = column(&row([50, 100, 99, 200]), as_of, &mut changed_by).unwrap();
        assert_eq!(old.not_null, Some(true));
        assert_eq!((old.key, old.default.as_deref()), (Some(0), Some("5")));
        assert_eq!(changed_by, None);
        let new = column(&row([101, 150, 120, 200]), as_of, &mut changed_by).unwrap();
        assert_eq!((new.not_null, new.key, new.default), (None, None, None));
        assert_eq!(changed_by, Some(Xid(150)));
        let any = column(&row([101, 150, 120, 200]), None, &mut None).unwrap();
        assert_eq!(any.default.as_deref(), Some("5"));
    }

    #[test]
    fn transaction_ids_are_a_circle() {
        assert!(is_between(u32::MAX, 3, 10) && is_between(u32::MAX - 5, u32::MAX, 1 << 32));
        assert!(!is_between(3, u32::MAX, 10), "before the circle began anew");
        assert!(!is_between(3, 3, 10) && !is_between(3, 10, 10));
        // Frozen long ago.
        assert!(!is_between(2_500_000_000, 700, 2_500_001_000));
    }
}
