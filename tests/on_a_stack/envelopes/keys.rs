//! Keys where there is no primary key, messages of the WAL, and names that Kafka does not allow.

use pgcdc::TableName;
use pgcdc_debezium::{EnvelopeConfig, MessageKey};

use super::side_by_side::compare;
use crate::stack::TestStack;

/// The events of these tables, with transaction metadata.
fn compared(
    stack: &TestStack,
    name: &str,
    tables: &str,
    statements: &[&str],
    records: usize,
) -> Vec<String> {
    let settings = [("provide.transaction.metadata", "true")];
    let envelopes = EnvelopeConfig {
        transactions: true,
        ..EnvelopeConfig::new(name, &stack.env["POSTGRES_DB"])
    };
    compare(
        stack,
        name,
        tables,
        (&settings, envelopes),
        statements,
        records,
    )
}

pub fn unique_indexes(stack: &TestStack) {
    stack.sql(
        "CREATE TABLE u_null (a int, b text, x text); CREATE UNIQUE INDEX u_null_b ON u_null (b, a);
         CREATE TABLE u_part (a int, b int NOT NULL, x text); CREATE UNIQUE INDEX u_part_a ON u_part (a) WHERE a > 5;
         CREATE TABLE u_expr (a text, b int, x text); CREATE UNIQUE INDEX u_expr_1 ON u_expr (lower(a)); CREATE UNIQUE INDEX u_expr_2 ON u_expr (b);
         CREATE TABLE u_mixed (a text, b int, x text); CREATE UNIQUE INDEX u_mixed_1 ON u_mixed (b, (a || x));
         CREATE TABLE u_two (a int NOT NULL, b int NOT NULL, x text); CREATE UNIQUE INDEX u_two_2 ON u_two (a); CREATE UNIQUE INDEX u_two_1 ON u_two (b);
         CREATE TABLE u_clustered (a int, b int, x text); CREATE UNIQUE INDEX u_c_1 ON u_clustered (a); CREATE UNIQUE INDEX u_c_2 ON u_clustered (b);
         CLUSTER u_clustered USING u_c_2;
         CREATE TABLE u_identity (a int NOT NULL, b int NOT NULL, x text); CREATE UNIQUE INDEX u_i_1 ON u_identity (a); CREATE UNIQUE INDEX u_i_2 ON u_identity (b);
         CREATE TABLE u_include (a int, b int, x text); CREATE UNIQUE INDEX u_include_1 ON u_include (a) INCLUDE (b);
         CREATE TABLE p_include (a int, b int, x text, PRIMARY KEY (a) INCLUDE (b));
         ALTER TABLE u_identity REPLICA IDENTITY USING INDEX u_i_2;
         ALTER TABLE u_null REPLICA IDENTITY FULL; ALTER TABLE u_part REPLICA IDENTITY FULL; ALTER TABLE u_expr REPLICA IDENTITY FULL;
         ALTER TABLE u_mixed REPLICA IDENTITY FULL; ALTER TABLE u_two REPLICA IDENTITY FULL; ALTER TABLE u_clustered REPLICA IDENTITY FULL;
         ALTER TABLE u_include REPLICA IDENTITY FULL;
         CREATE PUBLICATION uniques FOR TABLE u_null, u_part, u_expr, u_mixed, u_two, u_clustered, u_identity, u_include, p_include",
    );
    let tables = [
        "u_null",
        "u_part",
        "u_expr",
        "u_mixed",
        "u_two",
        "u_clustered",
        "u_identity",
        "u_include",
        "p_include",
    ];
    let list: Vec<_> = tables
        .iter()
        .map(|table| format!("public.{table}"))
        .collect();
    let statements = [
        "INSERT INTO u_null VALUES (1, NULL, 'x'); INSERT INTO u_part VALUES (1, 2, 'x'); INSERT INTO u_expr VALUES ('a', 2, 'x');
         INSERT INTO u_mixed VALUES ('a', 2, 'x'); INSERT INTO u_two VALUES (1, 2, 'x'); INSERT INTO u_clustered VALUES (1, 2, 'x');
         INSERT INTO u_identity VALUES (1, 2, 'x'); INSERT INTO u_include VALUES (1, 2, 'x'); INSERT INTO p_include VALUES (1, 2, 'x')",
        // Of the key, and of nothing in it: delete, tombstone and create, or an update.
        "UPDATE u_null SET b = 'b'; UPDATE u_null SET x = 'y'; UPDATE u_two SET b = 3; UPDATE u_two SET a = 4",
        "UPDATE u_expr SET b = 3; UPDATE u_mixed SET b = 3; UPDATE u_include SET b = 3; UPDATE p_include SET b = 3",
        "UPDATE u_identity SET x = 'y'; UPDATE u_identity SET a = 3; UPDATE u_identity SET b = 3",
        "DELETE FROM u_null; DELETE FROM u_part; DELETE FROM u_identity; DELETE FROM u_expr",
    ];
    // Nine creates; two of four updates are of a key; so are one of two, and the included column of an index; three updates; four
    // deletes with tombstones; and a beginning and an end of each transaction.
    let found = compared(stack, "uniques", &list.join(","), &statements, UNIQUES);
    assert_eq!(found, [""; 0]);
    stack.sql(&format!(
        "DROP PUBLICATION uniques; DROP TABLE {}",
        tables.join(", ")
    ));
}

/// Number of the records above.
const UNIQUES: usize = 9 + 8 + 8 + 5 + 8 + 2 * 5;

pub fn message_keys(stack: &TestStack) {
    stack.sql(
        "CREATE TABLE k_default (id int PRIMARY KEY, owner text, x text);
         CREATE TABLE k_full (id int PRIMARY KEY, owner text, x text); ALTER TABLE k_full REPLICA IDENTITY FULL;
         CREATE PUBLICATION keyed FOR TABLE k_default, k_full",
    );
    let columns = "public.k_default:owner;public.k_full:owner";
    let key = |table: &str| MessageKey {
        table: TableName::new("public", table),
        columns: vec!["owner".to_owned()],
    };
    let envelopes = EnvelopeConfig {
        message_keys: ["k_default", "k_full"].map(key).into(),
        ..EnvelopeConfig::new("keyed", &stack.env["POSTGRES_DB"])
    };
    let statements = [
        "INSERT INTO k_default VALUES (1, 'ä', 'x'), (2, NULL, 'x'); INSERT INTO k_full VALUES (1, 'a', 'x'), (2, 'b', 'x')",
        "UPDATE k_default SET x = 'y' WHERE id = 1; UPDATE k_default SET owner = 'b' WHERE id = 1",
        // The old row is there with all its columns: of the key, and of nothing in it.
        "UPDATE k_full SET owner = 'c' WHERE id = 1; UPDATE k_full SET id = 3 WHERE id = 1",
        "DELETE FROM k_full WHERE id = 2",
    ];
    // Four creates; two updates; delete, tombstone and create, and an update; a delete with its tombstone.
    let tables = "public.k_default,public.k_full";
    let settings = [("message.key.columns", columns)];
    let found = compare(
        stack,
        "keyed",
        tables,
        (&settings, envelopes),
        &statements,
        4 + 2 + 4 + 2,
    );
    assert_eq!(found, [""; 0]);
    stack.sql("DROP PUBLICATION keyed; DROP TABLE k_default, k_full");
}

pub fn messages(stack: &TestStack) {
    stack.sql(
        "CREATE TABLE noted (id int PRIMARY KEY, x text); CREATE PUBLICATION noted FOR TABLE noted",
    );
    let statements = [
        "INSERT INTO noted VALUES (1, 'x')",
        "SELECT pg_logical_emit_message(false, 'alone \"q\"', 'ü'::text)",
        "BEGIN; SELECT pg_logical_emit_message(true, 'outbox', '\\x00ff'::bytea); INSERT INTO noted VALUES (2, 'y'); SELECT pg_logical_emit_message(true, 'outbox', ''::text); UPDATE noted SET x = 'z' WHERE id = 2; COMMIT",
        "SELECT pg_logical_emit_message(true, 'only', 'message')",
        "SELECT pg_logical_emit_message(false, 'alone', 'again')",
        "DELETE FROM noted WHERE id = 1",
    ];
    // Changes and a tombstone, messages, and beginnings and ends of four transactions.
    let found = compared(
        stack,
        "noted",
        "public.noted",
        &statements,
        4 + 1 + 5 + 2 * 4,
    );
    // Debezium names each message of its own in the counts of the transaction, by a Java object.
    let (counts, others): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|found| found.contains(".data_collections: "));
    assert_eq!(others, [""; 0]);
    assert_eq!(counts.len(), 2, "{counts:#?}");
    stack.sql("DROP PUBLICATION noted; DROP TABLE noted");
}

pub fn names(stack: &TestStack) {
    stack.sql(
        "CREATE TABLE \"Bestell Ürte\" (\"größe in m²\" int PRIMARY KEY, \"a\"\"b\" text, \"x.y\" text DEFAULT 'ä');
         CREATE SCHEMA \"My.App\"; CREATE TABLE \"My.App\".\"Order Items\" (a int, \"b 😀\" int); CREATE UNIQUE INDEX ON \"My.App\".\"Order Items\" (\"b 😀\");
         CREATE PUBLICATION named FOR TABLE \"Bestell Ürte\", \"My.App\".\"Order Items\"",
    );
    let statements = [
        "INSERT INTO \"Bestell Ürte\" VALUES (1, 'x', NULL); INSERT INTO \"My.App\".\"Order Items\" VALUES (1, 2)",
        "UPDATE \"Bestell Ürte\" SET \"größe in m²\" = 2",
    ];
    let tables = "public.Bestell Ürte,My.App.Order Items";
    let found = compared(stack, "named", tables, &statements, 2 + 3 + 2 * 2);
    assert_eq!(found, [""; 0]);
    stack
        .sql("DROP PUBLICATION named; DROP TABLE \"Bestell Ürte\"; DROP SCHEMA \"My.App\" CASCADE");
}
