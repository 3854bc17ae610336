//! Hears of every event of a path at every place, and tells measured ones from the probe and the warm-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock;
use super::metrics::HopMetrics;
use super::traces::PathTraces;
use crate::consumer::{DeadLetter, StageObserver};
use crate::load::LoadObserver;
use cdc_bench_model::RunId;
use cdc_bench_model::event::{EventId, EventType, OutboxRow};
use cdc_bench_model::report::RecorderHandle;
use cdc_bench_model::timeline::{CapturePath, Captured, ConsumerStamps, Joined, Joiner, Stamp};

/// The `run_id` columns of one load: its readiness probe, its warm-up and its measured events.
#[derive(Debug, Clone)]
pub(crate) struct RunNames {
    pub(crate) probe: String,
    pub(crate) warmup: String,
    pub(crate) measured: String,
}

impl RunNames {
    /// Of a run whose paths follow the same events.
    pub(crate) fn of(run: &RunId) -> Self {
        Self::measured(run.to_string())
    }

    /// Of the events that are one path's alone.
    pub(crate) fn of_path(run: &RunId, path: CapturePath) -> Self {
        Self::measured(format!("{run}-{path}"))
    }

    /// Whether these are events before the measured ones.
    fn is_before(&self, run_id: &str) -> bool {
        run_id == self.warmup || run_id == self.probe
    }

    fn measured(measured: String) -> Self {
        Self {
            probe: format!("{measured}-probe"),
            warmup: format!("{measured}-warmup"),
            measured,
        }
    }
}

/// The meeting point of one path's events.
pub(crate) struct PathObserver {
    path: CapturePath,
    /// How long every event is held up in the consumer.
    transform_delay: Option<Duration>,
    pub(crate) names: RunNames,
    pub(crate) joiner: Joiner,
    recorder: Mutex<Option<RecorderHandle>>,
    /// Commit times of events that are not measured: of Connect's clock they tell all the same.
    unmeasured: Mutex<HashMap<EventId, Stamp>>,
    /// Latencies by hop, for whoever asks from outside.
    metrics: Option<HopMetrics>,
    /// Where its events leave their traces.
    traces: Option<PathTraces>,
    pub(crate) probes_written: AtomicU64,
    pub(crate) warmup_written: AtomicU64,
    /// Records put aside, whoever's they are.
    pub(crate) dead_letters: AtomicU64,
    /// Those of them that are known to be measured events.
    pub(crate) abandoned: AtomicU64,
    /// Records of other runs and programs that came by on the topic.
    pub(crate) foreign: AtomicU64,
}

impl PathObserver {
    pub(crate) fn new(
        path: CapturePath,
        names: RunNames,
        joiner: Joiner,
        recorder: RecorderHandle,
        transform_delay: Option<Duration>,
    ) -> Self {
        Self {
            path,
            transform_delay,
            names,
            joiner,
            recorder: Mutex::new(Some(recorder)),
            unmeasured: Mutex::default(),
            metrics: None,
            traces: None,
            probes_written: AtomicU64::new(0),
            warmup_written: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
        }
    }

    /// Tells these as well.
    pub(crate) fn metered(self, metrics: Option<HopMetrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Leaves traces there as well.
    pub(crate) fn traced(self, traces: Option<PathTraces>) -> Self {
        Self { traces, ..self }
    }

    /// Our reader has a row of the outbox. True when it is a measured event.
    pub(crate) fn captured(&self, run_id: &str, id: EventId, seq: u64, captured: Captured) -> bool {
        let is_measured = run_id == self.names.measured;
        if is_measured {
            self.finish(self.joiner.captured(id, seq, captured));
        } else if self.path == CapturePath::Debezium && self.names.is_before(run_id) {
            lock(&self.unmeasured).insert(id, captured.tc);
        }
        is_measured
    }

    /// Our producer has heard that a measured event is in Kafka.
    pub(crate) fn delivered(&self, id: EventId, seq: u64, t2: Stamp) {
        self.finish(self.joiner.delivered(id, seq, t2));
    }

    fn finish(&self, joined: Option<Joined>) {
        let Some(event) = joined else { return };
        if let Some(metrics) = &self.metrics {
            metrics.record(&event.stamps.hops());
        }
        if let Some(traces) = &self.traces {
            traces.record(&event);
        }
        // Cloned so that a recorder that is behind holds up this thread alone, not all of them.
        let recorder = lock(&self.recorder).clone();
        if let Some(recorder) = recorder {
            recorder.record(event);
        }
    }

    /// No more events: lets the recorder end.
    pub(crate) fn close(&self) {
        *lock(&self.recorder) = None;
    }
}

impl StageObserver for PathObserver {
    fn wants(&self, run_id: &str) -> bool {
        let ours = run_id == self.names.measured || self.names.is_before(run_id);
        if !ours {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
        ours
    }

    fn consumed(&self, run_id: &str, seq: u64) {
        if let Some(delay) = self.transform_delay {
            std::thread::sleep(delay);
        }
        if run_id == self.names.measured {
            self.joiner.consumed(seq);
        }
    }

    fn written(
        &self,
        run_id: &str,
        id: EventId,
        _: EventType,
        seq: u64,
        mut written: ConsumerStamps,
    ) {
        if self.path != CapturePath::Debezium {
            // On our paths the envelope's time is when our reader made it: T1.
            written.td = None;
        }
        if run_id == self.names.measured {
            self.finish(self.joiner.written(id, seq, written));
            return;
        }
        let commit = lock(&self.unmeasured).remove(&id);
        if let Some(commit) = commit {
            self.joiner.bound_connect(commit, &written);
        }
        if run_id == self.names.warmup {
            self.warmup_written.fetch_add(1, Ordering::Relaxed);
        } else {
            self.probes_written.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn dead_letter(&self, letter: &DeadLetter) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
        if letter.id.is_some_and(|id| self.joiner.abandon(id)) {
            self.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The load generator's view for the measured events: every path hears of them.
pub(crate) struct MeasuredLoad(pub(crate) Vec<Arc<PathObserver>>);

impl LoadObserver for MeasuredLoad {
    fn sending(&self, row: &OutboxRow, ts: Stamp, t0: Stamp) {
        for path in &self.0 {
            path.joiner.sending(row.id, row.seq, row.event_type, ts, t0);
        }
    }

    fn acknowledged(&self, id: EventId, seq: u64, ta: Stamp) {
        for path in &self.0 {
            path.finish(path.joiner.acknowledged(id, seq, ta));
        }
    }

    fn failed(&self, id: EventId, seq: u64, reason: &str) {
        tracing::error!(%id, seq, reason, "INSERT refused");
        for path in &self.0 {
            path.joiner.insert_failed(id, seq);
        }
    }
}

/// The load generator's view for the events before them.
#[derive(Default)]
pub(crate) struct WarmupLoad {
    pub(crate) acknowledged: AtomicU64,
}

impl LoadObserver for WarmupLoad {
    fn sending(&self, _: &OutboxRow, _: Stamp, _: Stamp) {}

    fn acknowledged(&self, _: EventId, _: u64, _: Stamp) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, id: EventId, seq: u64, reason: &str) {
        tracing::error!(%id, seq, reason, "INSERT of the warm-up refused");
    }
}

/// The load generator's view for the readiness probe, of which nothing is counted.
pub(crate) struct ProbeLoad;

impl LoadObserver for ProbeLoad {
    fn sending(&self, _: &OutboxRow, _: Stamp, _: Stamp) {}

    fn acknowledged(&self, _: EventId, _: u64, _: Stamp) {}

    fn failed(&self, id: EventId, _: u64, reason: &str) {
        tracing::error!(%id, reason, "INSERT of the readiness probe refused");
    }
}
