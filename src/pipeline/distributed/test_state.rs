//! How a test stands, by the records of its control topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::pipeline::distributed::control_record::{
    ControlRecord, Heartbeat, LoadOrder, ResultPart, TestPlan, WorkerOffer, WorkerPhase,
};

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
    heartbeats: BTreeMap<String, (Instant, Heartbeat)>,
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
            ControlRecord::Heartbeat(beat) => {
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

    /// Workers of this test that were not heard of for so long, and have not left.
    pub(crate) fn silent(&self, limit: Duration) -> Vec<String> {
        let Some(plan) = &self.plan else {
            return Vec::new();
        };
        let is_silent = |worker: &&String| match self.heartbeat(worker) {
            Some((since, beat)) => since > limit && beat.phase != WorkerPhase::Left,
            None => true,
        };
        plan.workers.iter().filter(is_silent).cloned().collect()
    }

    /// The result of a worker, once all of its parts are there.
    pub(crate) fn result(&self, worker: &str) -> Option<Vec<ResultPart>> {
        let parts = self.results.get(worker)?;
        let of = parts.values().next()?.of;
        (parts.len() == of).then(|| parts.values().cloned().collect())
    }
}
