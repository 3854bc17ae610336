//! Connects to the source.

use cdc_bench_stack::{PostgresConnectError, PostgresEndpoint};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::error::{SourceError, server_message};

/// Connects. A background task drives the connection and ends with it.
///
/// # Errors
/// When the server is unreachable or refuses.
pub async fn connect_postgres(endpoint: &PostgresEndpoint) -> Result<Client, SourceError> {
    let server = endpoint.to_string();
    let connected = endpoint.connect().await;
    let (client, _) = connected.map_err(|error| match error {
        PostgresConnectError::Socket(error) => SourceError::Unreachable {
            server,
            reason: error.to_string(),
        },
        PostgresConnectError::NoPassword => SourceError::NoPassword { server },
        PostgresConnectError::Postgres(error) => {
            let reason = server_message(&error);
            match error.code() {
                Some(code)
                    if *code == SqlState::INVALID_PASSWORD
                        || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
                {
                    SourceError::Password { server, reason }
                }
                Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
                    SourceError::Database { server, reason }
                }
                Some(_) => SourceError::Refused {
                    action: format!("let {server} in"),
                    reason,
                },
                None => SourceError::Unreachable { server, reason },
            }
        }
    })?;
    Ok(client)
}
