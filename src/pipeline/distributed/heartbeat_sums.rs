//! What heartbeats come to: who consumes which partition, and each worker as the report has it.

use std::collections::BTreeMap;

use cdc_bench_model::report::WorkerReport;

use crate::pipeline::distributed::control_record::{
    Heartbeat, PlannedRoute, WorkerCounts, WorkerOffer, WorkerRole,
};
use crate::pipeline::distributed::test_state::TestState;

/// Who consumes each partition of the first path's topic.
pub(super) fn owners<'a>(heartbeats: impl Iterator<Item = &'a Heartbeat>) -> BTreeMap<i32, String> {
    owners_of(heartbeats, |beat| beat.paths.values().next())
}

/// Who consumes each partition of every path's topic.
pub(super) fn owners_by_path(state: &TestState) -> Vec<BTreeMap<i32, String>> {
    let routes = state.plan.iter().flat_map(|plan| &plan.routes);
    let of = |route: &PlannedRoute| {
        let path = route.path;
        owners_of(state.heartbeats(), |beat| beat.paths.get(&path))
    };
    routes.map(of).collect()
}

fn owners_of<'a>(
    heartbeats: impl Iterator<Item = &'a Heartbeat>,
    counts: impl Fn(&'a Heartbeat) -> Option<&'a WorkerCounts>,
) -> BTreeMap<i32, String> {
    let mut owners = BTreeMap::new();
    for beat in heartbeats {
        let partitions = counts(beat).into_iter().flat_map(|of| &of.partitions);
        owners.extend(partitions.map(|partition| (*partition, beat.worker.clone())));
    }
    owners
}

/// A worker as the report has it.
pub(super) fn worker_report(offer: &WorkerOffer, beat: Option<&Heartbeat>) -> WorkerReport {
    let roles = offer.roles.iter().map(|role| match role {
        WorkerRole::Load => "load",
        WorkerRole::Consume => "consume",
        WorkerRole::Capture => "capture",
    });
    let mut report = WorkerReport {
        name: offer.worker.clone(),
        host: offer.host.clone(),
        roles: roles.map(str::to_owned).collect(),
        ..WorkerReport::default()
    };
    let Some(beat) = beat else { return report };
    report.inserted = beat.load.inserted;
    report.written = beat.paths.values().map(|path| path.tally.written).sum();
    let first = beat.paths.values().next();
    report.partitions = first.map_or(0, |path| path.partitions.len());
    report.captured = beat.captures;
    report.clock_offset = beat.clock.to_postgres.round_micros();
    report.clock_bound = beat.clock.bound.round_micros();
    report.ntp_bound = beat.clock.ntp.map(|ntp| ntp.bound.round_micros());
    report
}
