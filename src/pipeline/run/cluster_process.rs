//! Which process of a server a fault takes away, where there are several of it: the one that has the work.

use cdc_bench_stack::Stack;

use crate::pipeline::failure::Failure;
use crate::pipeline::faults::{Fault, FaultTarget, ProcessTarget};
use crate::pipeline::run::context::{ActivePath, RunContext};

/// Refuses a fault of a process that a stack of ours does not have, such as `kafka-2` of one broker.
pub(crate) fn check_processes(faults: &[Fault], stack: &Stack) -> Result<(), Failure> {
    let processes = stack.processes();
    for fault in faults {
        let FaultTarget::Process(target @ (ProcessTarget::Broker(_) | ProcessTarget::Worker(_))) =
            fault.target()
        else {
            continue;
        };
        let name = target.as_str();
        if !processes.iter().any(|(process, _)| process == name) {
            let names: Vec<_> = processes.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Failure::usage(anyhow::anyhow!(
                "--fault {fault}: this stack has no process {name}, but {}; several brokers and Connect workers come with --brokers 3 and --connect-workers 2",
                names.join(", ")
            )));
        }
    }
    Ok(())
}

/// The name of the process to take away: of several brokers the one that leads the first partition of the first topic, of several
/// Connect workers the one that the task of the run's connector runs on.
pub(super) async fn process_to_take(
    context: RunContext<'_>,
    target: ProcessTarget,
    paths: &[ActivePath],
) -> String {
    let processes = context.stack.processes_of(target.as_str());
    let [(first, _), _, ..] = &processes[..] else {
        return target.as_str().to_owned();
    };
    let at_work = match target {
        ProcessTarget::Connect => worker_at_work(context, paths).await,
        _ => leading_broker(context, paths).await,
    };
    let at_work = at_work.unwrap_or_else(|failure| {
        tracing::warn!(%failure, "nothing says which process of {} has the work; {first} is taken", target.as_str());
        None
    });
    let mut processes = processes.iter();
    let found = processes.find(|(_, address)| Some(address) == at_work.as_ref());
    found.map_or(first, |(name, _)| name).clone()
}

/// Address of the broker that leads the first partition of the first topic.
async fn leading_broker(
    context: RunContext<'_>,
    paths: &[ActivePath],
) -> Result<Option<String>, Failure> {
    let mut routes = paths.iter().filter_map(|path| path.route.kafka());
    match routes.next() {
        Some(kafka) => Ok(context.servers.kafka.leader(&kafka.topic).await?),
        None => Ok(None),
    }
}

/// Address of the worker that the task of the run's connector runs on.
async fn worker_at_work(
    context: RunContext<'_>,
    paths: &[ActivePath],
) -> Result<Option<String>, Failure> {
    let mut connectors = paths.iter().flat_map(|path| path.route.connectors());
    match (&context.servers.connect, connectors.next()) {
        (Some(connect), Some(connector)) => {
            let status = connect.status(&connector.name).await?;
            Ok(status.worker().map(str::to_owned))
        }
        _ => Ok(None),
    }
}
