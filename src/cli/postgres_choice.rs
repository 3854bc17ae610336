//! The server of PostgreSQL that a command uses: chosen among several, with a password that is asked for on a terminal.

use cdc_bench_stack::{PostgresConnectError, PostgresEndpoint};
use pgcdc::{Server, ServerList};
use tokio_util::sync::CancellationToken;

use super::secrets::Prompt;
use crate::pipeline::{Failure, SourceError};
use crate::settings::Settings;

/// Puts the server to use into the settings: the first of those that are given, until one is chosen.
///
/// # Errors
/// When none will do, or when one asks for a password that is not given.
pub(super) async fn choose_postgres(
    settings: &mut Settings,
    list: Option<&ServerList>,
    prompt: Prompt,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let (Some(list), Some(given)) = (list, &mut settings.given) else {
        return Ok(());
    };
    for warning in &list.warnings {
        tracing::warn!("{warning}");
    }
    let chosen = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        chosen = list.choose() => chosen,
    };
    let server = chosen.map_err(|error| {
        Failure::server(anyhow::anyhow!(
            "{error}; give the address of one that is, or another target_session_attrs"
        ))
    })?;
    if list.servers.len() > 1 {
        tracing::info!(server = server.address(), "PostgreSQL chosen");
    }
    given.postgres = Some(with_password(server, prompt).await?.into());
    Ok(())
}

/// The server with the password that it asks for, read from the terminal where none is given. A server that is given none is asked
/// whether it wants one.
async fn with_password(mut server: Server, prompt: Prompt) -> Result<Server, Failure> {
    if server.password.is_some() {
        return Ok(server);
    }
    let endpoint = PostgresEndpoint::from(server.clone());
    match endpoint.connect().await {
        Err(PostgresConnectError::NoPassword) => {}
        // Any other error is said by the command's own connection.
        _ => return Ok(server),
    }
    if !prompt.is_allowed() {
        let server = endpoint.to_string();
        return Err(SourceError::NoPassword { server }.into());
    }
    let whose = format!("Password for {endpoint}");
    server.password = Some(prompt.ask("POSTGRES_PASSWORD", &whose)?);
    Ok(server)
}
