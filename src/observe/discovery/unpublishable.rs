//! Relations that no publication takes, so that nobody is advised to add them.

use tokio_postgres::Client;

use crate::pipeline::Failure;

/// What a relation (`schema.table`) is that PostgreSQL does not publish; `None` of one that it does, or that is not there.
pub(super) async fn kind(client: &Client, name: &str) -> Result<Option<&'static str>, Failure> {
    let question = "SELECT c.relkind::text, c.relpersistence::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname || '.' || c.relname = $1";
    let Some(row) = client.query_opt(question, &[&name]).await? else {
        return Ok(None);
    };
    let (kind, persistence): (String, String) = (row.get(0), row.get(1));
    Ok(match (&*kind, &*persistence) {
        ("r" | "p", "u") => Some("an unlogged table"),
        ("r" | "p", "t") => Some("a temporary table"),
        ("r" | "p", _) => None,
        ("v", _) => Some("a view"),
        ("m", _) => Some("a materialized view"),
        ("f", _) => Some("a foreign table"),
        ("S", _) => Some("a sequence"),
        _ => Some("no table"),
    })
}
