//! How a test stands, by the records of its control topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cdc_bench_model::report::WorkerSilence;
use cdc_bench_model::timeline::CapturePath;

use crate::pipeline::distributed::control_record::{
    ControlRecord, Heartbeat, LoadOrder, PlannedRoute, ResultPart, TestPlan, WorkerOffer,
    WorkerPhase,
};

/// A worker that says nothing for so long, of four heartbeats a second, has stood still or was cut off.
const SILENT: Duration = Duration::from_secs(5);

/// How a test stands.
#[derive(Debug, Default)]
pub(crate) struct TestState {
    pub(crate) offers: BTreeMap<String, WorkerOffer>,
    pub(crate) plan: Option<TestPlan>,
    /// Who reads the WAL.
    pub(crate) captures: Option<String>,
    pub(crate) load: Option<LoadOrder>,
    pub(crate) collects: bool,
    /// The test is over, or was given up for a reason.
    pub(crate) end: Option<Option<String>>,
    /// When the coordinator was heard of last.
    coordinator: Option<Instant>,
    heartbeats: BTreeMap<String, (Instant, Heartbeat)>,
    /// When each worker was not heard of for a while.
    silences: BTreeMap<String, Vec<WorkerSilence>>,
    results: BTreeMap<String, BTreeMap<usize, ResultPart>>,
}

impl TestState {
    /// Takes in a record; of those with the same key the last one counts.
    pub(crate) fn apply(&mut self, record: ControlRecord) {
        match record {
            ControlRecord::Offer(offer) => {
                self.offers.insert(offer.worker.clone(), offer);
            }
            ControlRecord::Plan(plan) => self.plan = Some(*plan),
            ControlRecord::Capture { worker } => self.captures = Some(worker),
            ControlRecord::Load(order) => self.load = Some(order),
            ControlRecord::Collect => self.collects = true,
            ControlRecord::End { reason } => self.end = Some(reason),
            ControlRecord::Alive { .. } => self.coordinator = Some(Instant::now()),
            ControlRecord::Heartbeat(mut beat) => {
                if let Some((at, before)) = self.heartbeats.get_mut(&beat.worker) {
                    beat.take_totals(before);
                    let silence = at.elapsed();
                    if silence > SILENT {
                        let silences = self.silences.entry(beat.worker.clone()).or_default();
                        silences.extend(ended_now(silence));
                    }
                }
                let worker = beat.worker.clone();
                self.heartbeats.insert(worker, (Instant::now(), *beat));
            }
            ControlRecord::Result(part) => {
                let parts = self.results.entry(part.worker.clone()).or_default();
                parts.insert(part.number, part);
            }
        }
    }

    /// The last heartbeat of every worker.
    pub(crate) fn heartbeats(&self) -> impl Iterator<Item = &Heartbeat> {
        self.heartbeats.values().map(|(_, beat)| beat)
    }

    /// The last heartbeat of a worker, and how long ago it came.
    pub(crate) fn heartbeat(&self, worker: &str) -> Option<(Duration, &Heartbeat)> {
        let (at, beat) = self.heartbeats.get(worker)?;
        Some((at.elapsed(), beat))
    }

    /// When a worker was not heard of for a while, and then again.
    pub(crate) fn silences(&self, worker: &str) -> &[WorkerSilence] {
        self.silences.get(worker).map_or(&[], Vec::as_slice)
    }

    /// How long ago the coordinator was heard of; `None` if never.
    pub(crate) fn coordinator_silence(&self) -> Option<Duration> {
        Some(self.coordinator?.elapsed())
    }

    /// The route of a path.
    pub(crate) fn route(&self, path: CapturePath) -> Option<PlannedRoute> {
        let mut routes = self.plan.iter().flat_map(|plan| &plan.routes);
        routes.find(|route| route.path == path).cloned()
    }

    /// Who takes part: the workers of the plan, and those who came later.
    pub(crate) fn workers(&self) -> BTreeSet<String> {
        let planned = self.plan.iter().flat_map(|plan| &plan.workers);
        let later = self.heartbeats.values();
        let later = later.filter(|(_, beat)| beat.phase >= WorkerPhase::Ready);
        let later = later.map(|(_, beat)| &beat.worker);
        planned.chain(later).cloned().collect()
    }

    /// Workers whose result does not come any more: those that have left without one, or were not heard of for so long.
    pub(crate) fn gone(&self, limit: Duration) -> BTreeSet<String> {
        let mut workers = self.workers();
        workers.retain(|worker| self.is_gone(worker, limit));
        workers
    }

    /// The same of one worker.
    pub(crate) fn is_gone(&self, worker: &str, limit: Duration) -> bool {
        let is_silent = match self.heartbeat(worker) {
            Some((since, beat)) => beat.phase == WorkerPhase::Left || since > limit,
            None => true,
        };
        is_silent && self.result(worker).is_none()
    }

    /// The result of a worker, once all of its parts are there.
    pub(crate) fn result(&self, worker: &str) -> Option<Vec<ResultPart>> {
        let parts = self.results.get(worker)?;
        let of = parts.values().next()?.of;
        (parts.len() == of).then(|| parts.values().cloned().collect())
    }
}

/// A silence that ends at this moment.
fn ended_now(length: Duration) -> Option<WorkerSilence> {
    Some(WorkerSilence {
        at: jiff::Timestamp::now().checked_sub(length).ok()?,
        took: i64::try_from(length.as_micros()).ok()?,
    })
}
