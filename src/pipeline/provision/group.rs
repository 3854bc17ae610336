//! Consumer groups: a group that exists and is not ours is never written to.

use cdc_bench_model::timeline::CapturePath;

use crate::broker::{Admin, GroupState};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::request::RunRequest;

/// The consumer group of a path: the first has the configured name. Without one, each run has groups of its own, so that no
/// other run or consumer receives a part of the events.
pub(crate) fn group_name(request: &RunRequest, path: CapturePath) -> String {
    let settings = &request.settings;
    let suffix = if request.paths.first() == Some(&path) {
        String::new()
    } else {
        format!("-{path}")
    };
    if settings.group_is_given {
        format!("{}{suffix}", settings.group)
    } else {
        format!("{}-{}{suffix}", settings.group, request.id)
    }
}

/// Checks the groups that a run is going to move to the end of its topics: they do not exist, or an earlier run has registered
/// them.
///
/// # Errors
/// When one belongs to somebody, or may not be looked at. Nothing was written to it.
pub(crate) async fn check_groups(
    servers: &ServerClients,
    request: &RunRequest,
) -> Result<(), Failure> {
    if !request.settings.group_is_given {
        return Ok(());
    }
    let in_kafka = request
        .paths
        .iter()
        .filter(|path| **path != CapturePath::Embedded);
    for path in in_kafka {
        let name = group_name(request, *path);
        let state = servers.kafka.group(&name).await?;
        if state.is_unused() {
            continue;
        }
        let is_registered = servers.registry.has(ResourceKind::Group, &name).await?;
        if !is_registered {
            return Err(taken(&name, &state));
        }
        if state.is_in_use() {
            return Err(Failure::usage(anyhow::anyhow!(
                "consumer group \"{name}\" is in use by another run ({}); wait until it has ended (a consumer that was killed leaves after ten seconds), or choose another group (KAFKA_GROUP_ID)",
                state.describe()
            )));
        }
    }
    Ok(())
}

/// Registers a group of a run, so that it is removed. One that exists already, without a member and without an offset, stays.
pub(crate) async fn register_group(
    servers: &ServerClients,
    request: &RunRequest,
    name: &str,
) -> Result<(), Failure> {
    let (kind, run) = (ResourceKind::Group, Some(&request.id));
    if request.settings.group_is_given && servers.kafka.group(name).await?.exists() {
        return Ok(servers.registry.inherit(kind, name, run).await?);
    }
    servers.registry.record(kind, name, run).await?;
    Ok(())
}

/// Checks the group that `consume` continues in: one that only consumers of ours have been in, or that nobody has.
///
/// # Errors
/// When it belongs to somebody, or may not be looked at. Nothing was written to it.
pub(crate) async fn check_consumers_group(kafka: &Admin, name: &str) -> Result<(), Failure> {
    let state = kafka.group(name).await?;
    if state.is_unused() || state.is_ours() {
        Ok(())
    } else {
        Err(taken(name, &state))
    }
}

fn taken(name: &str, state: &GroupState) -> Failure {
    Failure::usage(anyhow::anyhow!(
        "consumer group \"{name}\" exists and is not this command's: {}; moving its offsets would lose its owner what he has not read yet; choose a group that does not exist (KAFKA_GROUP_ID, --kafka-group-id), or none: then a run has a group of its own",
        state.describe()
    ))
}
