//! Whether the server lets a session write.

use cdc_bench_stack::PostgresEndpoint;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::error::{SourceError, refused};

/// The setting that makes every transaction read-only.
const READ_ONLY: &str = "default_transaction_read_only";

/// Checks that the server is no standby, and that its transactions may write.
///
/// # Errors
/// [`SourceError::Standby`] or [`SourceError::ReadOnly`]; when the server does not answer.
pub(crate) async fn check_writable(
    client: &Client,
    endpoint: &PostgresEndpoint,
) -> Result<(), SourceError> {
    let question = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', source, \
        current_user::text, current_database()::text FROM pg_settings WHERE name = $1";
    let row = client
        .query_one(question, &[&READ_ONLY])
        .await
        .map_err(refused("read its settings"))?;
    let server = endpoint.to_string();
    let (is_standby, is_read_only): (bool, bool) = (row.get(0), row.get(1));
    if is_standby {
        return Err(SourceError::Standby { server });
    }
    if is_read_only {
        let (role, database): (String, String) = (row.get(3), row.get(4));
        return Err(SourceError::ReadOnly {
            server,
            undo: undo(row.get(2), &role, &database),
        });
    }
    Ok(())
}

/// What lets sessions write again, by where the setting comes from (`source` of `pg_settings`).
fn undo(source: &str, role: &str, database: &str) -> String {
    let (role, database) = (escape_identifier(role), escape_identifier(database));
    match source {
        "user" => format!("ALTER ROLE {role} RESET {READ_ONLY}"),
        "database" => format!("ALTER DATABASE {database} RESET {READ_ONLY}"),
        "database user" => format!("ALTER ROLE {role} IN DATABASE {database} RESET {READ_ONLY}"),
        "global" => format!("ALTER ROLE ALL RESET {READ_ONLY}"),
        "client" => format!("leave {READ_ONLY} out of the connection's options (PGOPTIONS)"),
        _ => format!(
            "ALTER SYSTEM RESET {READ_ONLY} and SELECT pg_reload_conf(), unless the provider has set it because the disk is full"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_server_is_told_with_what_undoes_it() {
        for (source, statement) in [
            ("user", "ALTER ROLE \"r\" RESET"),
            ("database", "ALTER DATABASE \"d\" RESET"),
            ("database user", "ALTER ROLE \"r\" IN DATABASE \"d\" RESET"),
            ("global", "ALTER ROLE ALL RESET"),
            ("client", "PGOPTIONS"),
            ("configuration file", "ALTER SYSTEM RESET"),
        ] {
            let error = SourceError::ReadOnly {
                server: "u@h:1/d".to_owned(),
                undo: undo(source, "r", "d"),
            };
            let text = error.to_string();
            for words in [statement, READ_ONLY, "u@h:1/d"] {
                assert!(text.contains(words), "{words}: {text}");
            }
        }
    }
}
