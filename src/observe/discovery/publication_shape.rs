//! What a publication leaves out: rows, columns, operations, and what only another one has.

use tokio_postgres::Client;

/// What to know of the publication that is read, a sentence each. `connectors`: the one that the connector reads.
pub(super) async fn doubts(
    client: &Client,
    publication: &str,
    connectors: Option<&str>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut doubts = Vec::new();
    if let Some(connectors) = connectors.filter(|name| *name != publication) {
        doubts.push(format!(
            "publication \"{publication}\" is not the connector's, which is \"{connectors}\": changes that only one of them publishes are counted as missing, or as not_covered"
        ));
    }
    let question = "SELECT pubinsert, pubupdate, pubdelete, current_setting('server_version_num')::int4 \
        FROM pg_publication WHERE pubname = $1";
    let Some(row) = client.query_opt(question, &[&publication]).await? else {
        return Ok(doubts);
    };
    let operations = ["inserts", "updates", "deletes"].into_iter().enumerate();
    let left_out: Vec<_> = operations
        .filter(|(column, _)| !row.get::<_, bool>(*column))
        .map(|(_, name)| name)
        .collect();
    if !left_out.is_empty() {
        doubts.push(format!(
            "publication \"{publication}\" publishes no {}: they are seen neither here nor by a connector that reads it",
            left_out.join(" and no ")
        ));
    }
    // Filters and lists came with version 15.
    if row.get::<_, i32>(3) >= 150_000 {
        let question = "SELECT r.prrelid::regclass::text, pg_get_expr(r.prqual, r.prrelid), r.prattrs IS NOT NULL \
            FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1 ORDER BY 1";
        for row in client.query(question, &[&publication]).await? {
            let (table, filter): (String, Option<String>) = (row.get(0), row.get(1));
            doubts.extend(filter.map(|filter| format!(
                "publication \"{publication}\" filters the rows of {table} (WHERE {filter}): others are seen neither here nor by a connector that reads it"
            )));
            if row.get(2) {
                doubts.push(format!(
                    "publication \"{publication}\" has a list of columns of {table}: an update of others is seen as one that changes nothing"
                ));
            }
        }
    }
    Ok(doubts)
}
