//! A PostgreSQL role with no more rights than the documentation grants: they suffice for the main job, and `doctor` names each one
//! that is missing.

use serde_json::Value;

use super::Test;
use super::stack::command::{assert_complete, ended, small_run, with};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[(
    "least_privilege_in_postgresql_is_what_is_documented_and_doctor_names_what_is_missing",
    least_privilege,
)];

const OUTBOX_SQL: &str = include_str!("../../sql/outbox.sql");

/// Runs SQL in another database of the server.
pub fn sql_in(stack: &TestStack, database: &str, text: &str) -> Vec<String> {
    let config = format!(
        "host={} port={} user={} password={} dbname={database}",
        stack.env["POSTGRES_HOST"],
        stack.env["POSTGRES_PORT"],
        stack.env["POSTGRES_USER"],
        stack.env["POSTGRES_PASSWORD"],
    );
    stack.block_on(async {
        let connected = tokio_postgres::connect(&config, tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        let messages = client.simple_query(text).await.unwrap();
        let row = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        messages.iter().filter_map(row).collect()
    })
}

/// What the documentation grants, a statement each. Those after the first are asked for by `doctor` where they are missing.
fn documented_statements() -> Vec<String> {
    let page = include_str!("../../docs/how-to/least-privilege.md");
    let block = page.split("```sql").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let lines = block.lines().filter(|line| !line.starts_with("--"));
    let text: String = lines.collect::<Vec<_>>().join(" ");
    let statements = text.split(';').map(str::trim);
    statements
        .filter(|statement| !statement.is_empty())
        .map(str::to_owned)
        .collect()
}

fn least_privilege(stack: &TestStack) {
    let results = open_folder();
    let of_role = |args: &[&str]| {
        let mut command = with(stack.external(), args);
        command
            .env("POSTGRES_DB", "least")
            .env("POSTGRES_USER", "bench")
            .env("POSTGRES_PASSWORD", "bench-password");
        command
    };
    let postgres = || -> (String, String) {
        let end = ended(of_role(&["doctor", "--json"]));
        let parts: Value = serde_json::from_str(&end.out).unwrap();
        let part = parts
            .as_array()
            .unwrap()
            .iter()
            .find(|part| part["name"] == "PostgreSQL");
        let text = |key: &str| part.unwrap()[key].as_str().unwrap_or_default().to_owned();
        (text("found"), text("advice"))
    };
    stack.sql("CREATE DATABASE least");
    sql_in(stack, "least", OUTBOX_SQL);
    let statements = documented_statements();
    assert!(statements.len() >= 6, "{statements:?}");
    // Each is left out in turn, and what doctor says then is done.
    for left_out in 1..statements.len() {
        for (number, statement) in statements.iter().enumerate() {
            if number != left_out {
                sql_in(stack, "least", statement);
            }
        }
        let (found, advice) = postgres();
        assert!(
            found.contains("\"bench\""),
            "{}: {found}",
            statements[left_out]
        );
        sql_in(stack, "least", &advice);
        let (found, advice) = postgres();
        assert_eq!(advice, "", "{}: {found}", statements[left_out]);
        if left_out + 1 < statements.len() {
            sql_in(
                stack,
                "least",
                "DROP PUBLICATION cdc_bench; DROP SCHEMA cdc_bench",
            );
            sql_in(stack, "least", "DROP OWNED BY bench; DROP ROLE bench");
        }
    }
    let args = ["--events", "20", "--capture", "both"];
    // A limit of connections below what a run needs, and a read-only database.
    for (setting, found, undo) in [
        (
            "ALTER ROLE bench CONNECTION LIMIT 1",
            "CONNECTION LIMIT of role",
            "ALTER ROLE \"bench\" CONNECTION LIMIT -1",
        ),
        (
            "ALTER DATABASE least CONNECTION LIMIT 5",
            "CONNECTION LIMIT of database",
            "ALTER DATABASE \"least\" CONNECTION LIMIT -1",
        ),
        (
            "ALTER DATABASE least SET default_transaction_read_only = on",
            "no transaction write",
            "ALTER DATABASE \"least\" RESET default_transaction_read_only",
        ),
    ] {
        stack.sql(setting);
        let said = postgres();
        assert!(said.0.contains(found), "{}", said.0);
        assert_eq!(said.1, undo);
        let statement = if setting.contains("LIMIT 1") {
            "CONNECTION LIMIT"
        } else {
            undo
        };
        ended(small_run(of_role(&[]), results.path(), &args)).refused(3, &[statement]);
        stack.sql(undo);
    }
    // Its rows stay, and the next run takes them for what they are.
    for _ in 0..2 {
        let end = ended(small_run(of_role(&[]), results.path(), &args));
        assert_complete(&end.json(), 20);
    }
    // Nothing is begun without the registry.
    sql_in(
        stack,
        "least",
        "REVOKE SELECT ON cdc_bench.ledger FROM bench",
    );
    for command in [&["cleanup"][..], &["cleanup", "--orphans"], &["setup"]] {
        let grant = "GRANT SELECT, INSERT, DELETE ON cdc_bench.ledger TO \"bench\"";
        ended(of_role(command)).refused(3, &[grant]);
    }
    sql_in(stack, "least", "GRANT SELECT ON cdc_bench.ledger TO bench");
    assert_eq!(ended(of_role(&["cleanup"])).code, 0);
    let kept = "SELECT count(*) FROM activity.event_outbox, pg_publication, pg_namespace WHERE nspname = 'cdc_bench'";
    assert_ne!(
        sql_in(stack, "least", kept),
        ["0"],
        "what its owner has made stays"
    );

    // All at once.
    sql_in(
        stack,
        "least",
        "DROP PUBLICATION cdc_bench; DROP SCHEMA cdc_bench",
    );
    sql_in(
        stack,
        "least",
        "DROP OWNED BY bench; ALTER ROLE bench NOREPLICATION",
    );
    let (found, advice) = postgres();
    assert!(found.contains("may not replicate"), "{found}");
    for words in [
        "REPLICATION",
        "CREATE SCHEMA",
        "SELECT",
        "INSERT",
        "CREATE PUBLICATION",
    ] {
        assert!(advice.contains(words), "{words}: {advice}");
    }
    let end = ended(small_run(of_role(&[]), results.path(), &args));
    end.refused(3, &["GRANT INSERT ON activity.event_outbox"]);
    stack.sql("DROP DATABASE least WITH (FORCE)");
    stack.sql("DROP ROLE bench");
}
