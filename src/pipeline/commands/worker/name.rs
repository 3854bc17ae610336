//! The name under which a worker takes part: no two workers of a test have the same.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::pipeline::commands::worker::request::WorkerRequest;
use crate::pipeline::distributed::control_topic::ControlTopic;
use crate::pipeline::distributed::test_state::TestState;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::servers::ServerClients;

/// For so long a worker of the same name is listened for; it says several times in it how it stands.
const LISTENED: Duration = Duration::from_secs(2);

/// The name that was asked for; where a worker of that name was there and is gone, as when its machine was started again, with a number.
/// What the one before has counted and measured stays its own.
///
/// # Errors
/// When a worker of that name is there.
pub(super) async fn free_name(
    request: &WorkerRequest,
    servers: &ServerClients,
    cancel: &CancellationToken,
) -> Result<String, Failure> {
    let name = &request.name;
    let look = || ControlTopic::look(&servers.kafka, &servers.kafka_config, &request.test);
    let Some(before) = look().await? else {
        return Ok(name.clone());
    };
    if !before.offers.contains_key(name) {
        return Ok(name.clone());
    }
    tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        () = tokio::time::sleep(LISTENED) => {}
    }
    let now = look().await?.unwrap_or_default();
    if last_said(&now, name) > last_said(&before, name) {
        return Err(taken(&now, request));
    }
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = numbered
        .into_iter()
        .find(|name| !now.offers.contains_key(name));
    let free = free.unwrap_or_else(|| name.clone());
    tracing::warn!("worker {name} was there before and is gone: this one takes part as {free}");
    Ok(free)
}

/// The number of the last heartbeat of a worker; the next one has a higher one.
fn last_said(state: &TestState, name: &str) -> Option<u64> {
    let (_, beat) = state.heartbeat(name)?;
    Some(beat.number)
}

/// A worker of this name is there.
pub(super) fn taken(state: &TestState, request: &WorkerRequest) -> Failure {
    let host = state.offers.get(&request.name);
    let host = host.map_or("a machine", |offer| &offer.host);
    Failure::usage(anyhow::anyhow!(
        "a worker {} takes part in test {} already, on {host}: each worker has a --name of its own",
        request.name,
        request.test
    ))
}
