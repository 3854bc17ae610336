//! Receives every event of a path at every stage, and separates measured events from probes and warm-up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench_model::analysis::{OrderCheck, SignedHistogram};
use cdc_bench_model::event::{EventId, EventType, Generator, OutboxRow};
use cdc_bench_model::report::RecorderHandle;
use cdc_bench_model::timeline::{
    CapturePath, Captured, ConsumerStamps, Joined, Joiner, Nanos, Stamp, Tally,
};
use uuid::Uuid;

use crate::broker::partition_of;
use crate::consumer::{DeadLetter, ReasonCounts, StageObserver};
use crate::debezium::aggregate_key;
use crate::load::LoadObserver;
use crate::pipeline::distributed::control_record::WorkerCounts;
use crate::pipeline::distributed::stamp_sender::StampSender;
use crate::pipeline::distributed::stamps::{StampEntry, Stamped};
use crate::pipeline::export::metrics::{HopMetrics, PathCounts};
use crate::pipeline::export::traces::PathTraces;
use crate::pipeline::lock::lock;
use crate::pipeline::request::RunNames;
use crate::pipeline::run::outbox_table::OutboxKey;

/// A row of the outbox whose stamps are followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FollowedEvent {
    id: EventId,
    seq: u64,
    /// Or one of the warm-up.
    is_measured: bool,
    /// Its partition, where another worker may follow it.
    partition: Option<i32>,
}

impl FollowedEvent {
    /// Whether it is measured, and not of the warm-up.
    pub(crate) fn is_measured(&self) -> bool {
        self.is_measured
    }
}

/// Where the stamps of events go that other workers follow.
#[derive(Clone)]
pub(crate) struct SharedStamps {
    pub(crate) sender: Arc<StampSender>,
    /// Partitions of the topics.
    pub(crate) partitions: i32,
}

/// The stamps of a path's warm-up events: joined as those of measured ones, shown while they come, and recorded nowhere.
pub(crate) struct WarmUpStamps {
    joiner: Joiner,
    show: Box<dyn Fn(&Joined) + Send + Sync>,
}

impl WarmUpStamps {
    /// With a joiner of their own; what is joined is shown by `show`.
    pub(crate) fn new(joiner: Joiner, show: impl Fn(&Joined) + Send + Sync + 'static) -> Self {
        Self {
            joiner,
            show: Box::new(show),
        }
    }

    fn show(&self, joined: Option<Joined>) {
        if let Some(event) = joined {
            (self.show)(&event);
        }
    }
}

/// The meeting point of one path's events.
pub(crate) struct PathObserver {
    path: CapturePath,
    /// Stamps of warm-up events, which are shown and not recorded.
    warm_up: WarmUpStamps,
    /// How long every event is held up in the consumer.
    transform_delay: Option<Duration>,
    pub(crate) names: RunNames,
    pub(crate) joiner: Joiner,
    recorder: Mutex<Option<RecorderHandle>>,
    /// Commit times of events that are not measured, which bound Connect's clock all the same.
    unmeasured: Mutex<HashMap<EventId, Stamp>>,
    /// Latency histograms by hop, for the metrics endpoint.
    metrics: Option<HopMetrics>,
    /// Queue for the traces of this path's events.
    traces: Option<PathTraces>,
    /// Whether aggregates keep their order; looked at in runs with faults.
    order: Option<Mutex<OrderCheck>>,
    /// Where workers share the events.
    shared: Option<SharedStamps>,
    /// Measured rows that our reader has had, where others follow them.
    captured_here: AtomicU64,
    /// What the workers have counted, where they do the work in this process's stead.
    elsewhere: Mutex<Option<WorkerCounts>>,
    /// Whether the topic has several partitions, so that each event's is kept.
    has_partitions: bool,
    pub(crate) probes_written: AtomicU64,
    /// Events of before the run was taken up again.
    pub(crate) earlier_written: AtomicU64,
    pub(crate) warmup_written: AtomicU64,
    /// Dead letters, of whatever run.
    pub(crate) dead_letters: AtomicU64,
    /// The same by reason.
    pub(crate) dead_letter_reasons: ReasonCounts,
    /// Dead letters that are known to be measured events.
    pub(crate) abandoned: AtomicU64,
    /// Records of other runs and programs on the topic.
    pub(crate) foreign: AtomicU64,
}

impl PathObserver {
    pub(crate) fn new(
        path: CapturePath,
        names: RunNames,
        joiner: Joiner,
        warm_up: WarmUpStamps,
        recorder: RecorderHandle,
        transform_delay: Option<Duration>,
    ) -> Self {
        Self {
            path,
            transform_delay,
            names,
            joiner,
            warm_up,
            recorder: Mutex::new(Some(recorder)),
            unmeasured: Mutex::default(),
            metrics: None,
            traces: None,
            order: None,
            shared: None,
            captured_here: AtomicU64::new(0),
            elsewhere: Mutex::default(),
            has_partitions: false,
            probes_written: AtomicU64::new(0),
            earlier_written: AtomicU64::new(0),
            warmup_written: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            dead_letter_reasons: ReasonCounts::default(),
            abandoned: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
        }
    }

    /// Everything that has come to its end on this path, whosever it is: it grows for as long as the path goes on.
    pub(crate) fn passed(&self) -> u64 {
        let tally = self.tally();
        let others = [
            &self.probes_written,
            &self.earlier_written,
            &self.warmup_written,
            &self.dead_letters,
            &self.foreign,
        ];
        let others = others.map(|count| count.load(Ordering::Relaxed));
        tally.written + tally.duplicates + others.iter().sum::<u64>()
    }

    /// Measured events that were inserted and have not come to their end.
    pub(crate) fn under_way(&self) -> u64 {
        let tally = self.tally();
        let ended = tally.written + self.dead_letters.load(Ordering::Relaxed);
        tally.inserted.saturating_sub(ended)
    }

    /// The counters so far.
    pub(crate) fn counts(&self) -> PathCounts {
        PathCounts {
            tally: self.tally(),
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            dead_letters_by_reason: self.dead_letter_reasons.by_reason(),
        }
    }

    /// The events at each place so far.
    pub(crate) fn tally(&self) -> Tally {
        let elsewhere = lock(&self.elsewhere);
        elsewhere
            .as_ref()
            .map_or_else(|| self.joiner.tally(), |counts| counts.tally)
    }

    /// Dead letters by reason.
    pub(crate) fn dead_letters_by_reason(&self) -> BTreeMap<String, u64> {
        let elsewhere = lock(&self.elsewhere);
        let counts = elsewhere.as_ref();
        counts.map_or_else(
            || self.dead_letter_reasons.by_reason(),
            |counts| counts.dead_letters_by_reason.clone(),
        )
    }

    /// Median and 99th percentile of the total, where workers measure it.
    pub(crate) fn total_elsewhere(&self) -> Option<(Nanos, Nanos)> {
        let elsewhere = lock(&self.elsewhere);
        let total = elsewhere.as_ref()?.total.as_ref()?;
        (total.count() > 0).then(|| (total.quantile(0.5), total.quantile(0.99)))
    }

    /// Takes what the workers have counted for what has happened.
    pub(crate) fn count_elsewhere(&self, counts: WorkerCounts) {
        for (count, value) in [
            (&self.probes_written, counts.probes_written),
            (&self.warmup_written, counts.warmup_written),
            (&self.dead_letters, counts.dead_letters),
            (&self.abandoned, counts.abandoned),
            (&self.foreign, counts.foreign),
        ] {
            count.store(value, Ordering::Relaxed);
        }
        *lock(&self.elsewhere) = Some(counts);
    }

    /// What this worker has counted; `partitions` are those that it has, `joined` the events that it has all stamps of.
    pub(crate) fn worker_counts(
        &self,
        partitions: BTreeSet<i32>,
        joined: u64,
        total: Option<SignedHistogram>,
    ) -> WorkerCounts {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WorkerCounts {
            partitions,
            joined,
            // Each row once: several workers may hear of it while its partition goes from one to another.
            tally: Tally {
                captured: count(&self.captured_here),
                ..self.joiner.tally()
            },
            probes_written: count(&self.probes_written),
            warmup_written: count(&self.warmup_written),
            dead_letters: count(&self.dead_letters),
            dead_letters_by_reason: self.dead_letter_reasons.by_reason(),
            abandoned: count(&self.abandoned),
            foreign: count(&self.foreign),
            total,
        }
    }

    /// Sends stamps to the workers that follow their events.
    pub(crate) fn with_shared(self, shared: Option<SharedStamps>) -> Self {
        Self { shared, ..self }
    }

    /// Stamps of an event that this worker follows, on our clock.
    pub(crate) fn received(&self, entry: StampEntry) {
        let StampEntry { id, seq, stamped } = entry;
        match stamped {
            Stamped::Inserted {
                event_type,
                ts,
                t0,
                ta,
            } => {
                self.joiner.sending(id, seq, event_type, ts, t0);
                self.finish(self.joiner.acknowledged(id, seq, ta));
            }
            Stamped::Refused => self.joiner.insert_failed(id, seq),
            Stamped::Captured(path, captured) if path == self.path => {
                self.finish(self.joiner.captured(id, seq, captured));
            }
            Stamped::Delivered(path, t2) if path == self.path => {
                self.finish(self.joiner.delivered(id, seq, t2));
            }
            Stamped::Captured(..) | Stamped::Delivered(..) => {}
        }
    }

    /// Records latencies there as well.
    pub(crate) fn with_metrics(self, metrics: Option<HopMetrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Looks whether the aggregates of these events keep their order.
    pub(crate) fn with_order(self, rows: Option<Generator>) -> Self {
        let order = rows.map(|rows| Mutex::new(OrderCheck::new(rows)));
        Self { order, ..self }
    }

    /// Keeps which of the topic's partitions each event came by, where there are several.
    pub(crate) fn with_partitions(self, partitions: i32) -> Self {
        let has_partitions = partitions > 1;
        Self {
            has_partitions,
            ..self
        }
    }

    /// When each event was stored that came after a later one of its aggregate.
    pub(crate) fn reordered(&self) -> Vec<Stamp> {
        let order = self.order.as_ref();
        order.map_or_else(Vec::new, |order| lock(order).reordered().to_vec())
    }

    /// Exports traces there as well.
    pub(crate) fn with_traces(self, traces: Option<PathTraces>) -> Self {
        Self { traces, ..self }
    }

    /// Our reader has a row of the outbox; which event it is, where its stamps are followed.
    pub(crate) fn captured(
        &self,
        row: &OutboxKey<'_>,
        captured: Captured,
    ) -> Option<FollowedEvent> {
        let &OutboxKey {
            run_id, id, seq, ..
        } = row;
        let followed = |is_measured| FollowedEvent {
            id,
            seq,
            is_measured,
            partition: None,
        };
        if let Some(shared) = &self.shared {
            // Only what is measured is joined by others.
            let aggregate = Uuid::try_parse(row.aggregate_id).ok();
            let aggregate = aggregate.filter(|_| run_id == self.names.measured)?;
            let partition = partition_of(&aggregate_key(aggregate), shared.partitions);
            self.captured_here.fetch_add(1, Ordering::Relaxed);
            let stamped = Stamped::Captured(self.path, captured);
            let entry = StampEntry { id, seq, stamped };
            shared.sender.add(partition, entry);
            return Some(FollowedEvent {
                partition: Some(partition),
                ..followed(true)
            });
        }
        if run_id == self.names.measured {
            self.finish(self.joiner.captured(id, seq, captured));
            return Some(followed(true));
        }
        if self.path == CapturePath::Debezium && self.names.is_unmeasured(run_id) {
            lock(&self.unmeasured).insert(id, captured.tc);
        }
        if run_id == self.names.warmup {
            let joined = self.warm_up.joiner.captured(id, seq, captured);
            self.warm_up.show(joined);
            return Some(followed(false));
        }
        None
    }

    /// Our producer has heard that an event is in Kafka.
    pub(crate) fn delivered(&self, event: FollowedEvent, t2: Stamp) {
        let FollowedEvent { id, seq, .. } = event;
        if let (Some(shared), Some(partition)) = (&self.shared, event.partition) {
            let stamped = Stamped::Delivered(self.path, t2);
            shared
                .sender
                .add(partition, StampEntry { id, seq, stamped });
            return;
        }
        if event.is_measured {
            self.finish(self.joiner.delivered(id, seq, t2));
        } else {
            self.warm_up
                .show(self.warm_up.joiner.delivered(id, seq, t2));
        }
    }

    fn finish(&self, joined: Option<Joined>) {
        let Some(event) = joined else { return };
        if let Some(metrics) = &self.metrics {
            metrics.record(&event.stamps.hops());
        }
        if let Some(traces) = &self.traces {
            traces.record(&event);
        }
        if let Some(order) = &self.order {
            lock(order).record(&event);
        }
        // Cloned, so that a slow recorder blocks this thread only and not every other one at the lock.
        let recorder = lock(&self.recorder).clone();
        if let Some(recorder) = recorder {
            recorder.record(event);
        }
    }

    /// No more events: lets the recorder finish.
    pub(crate) fn close(&self) {
        *lock(&self.recorder) = None;
    }
}

impl StageObserver for PathObserver {
    fn wants(&self, run_id: &str) -> bool {
        let ours = run_id == self.names.measured
            || self.names.is_unmeasured(run_id)
            || self.names.is_earlier(run_id);
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
        } else if run_id == self.names.warmup {
            self.warm_up.joiner.consumed(seq);
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
            // On our own paths the envelope's timestamp is T1, not Td.
            written.td = None;
        }
        if !self.has_partitions {
            written.partition = None;
        }
        if run_id == self.names.measured {
            self.finish(self.joiner.written(id, seq, written));
            return;
        }
        if self.names.is_earlier(run_id) {
            self.earlier_written.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let commit = lock(&self.unmeasured).remove(&id);
        if let Some(commit) = commit {
            self.joiner.bound_connect(commit, &written);
        }
        if run_id == self.names.warmup {
            self.warm_up
                .show(self.warm_up.joiner.written(id, seq, written));
            self.warmup_written.fetch_add(1, Ordering::Relaxed);
        } else {
            self.probes_written.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn dead_letter(&self, dead_letter: &DeadLetter) {
        self.dead_letter_reasons.add(&dead_letter.reason);
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
        if dead_letter.id.is_some_and(|id| self.joiner.abandon(id)) {
            self.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The load generator's observer for measured events: passes them to every path.
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

/// The load generator's view for the events before them: their stamps are shown, and they count for nothing.
pub(crate) struct WarmupLoad {
    pub(crate) acknowledged: AtomicU64,
    paths: Vec<Arc<PathObserver>>,
}

impl WarmupLoad {
    /// Of events that go over all of these paths.
    pub(crate) fn over(paths: Vec<Arc<PathObserver>>) -> Self {
        Self {
            acknowledged: AtomicU64::new(0),
            paths,
        }
    }

    fn stamps(&self) -> impl Iterator<Item = &WarmUpStamps> {
        self.paths.iter().map(|path| &path.warm_up)
    }
}

impl LoadObserver for WarmupLoad {
    fn sending(&self, row: &OutboxRow, ts: Stamp, t0: Stamp) {
        for stamps in self.stamps() {
            let joiner = &stamps.joiner;
            joiner.sending(row.id, row.seq, row.event_type, ts, t0);
        }
    }

    fn acknowledged(&self, id: EventId, seq: u64, ta: Stamp) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        for stamps in self.stamps() {
            stamps.show(stamps.joiner.acknowledged(id, seq, ta));
        }
    }

    fn failed(&self, id: EventId, seq: u64, reason: &str) {
        tracing::error!(%id, seq, reason, "INSERT of the warm-up refused");
        for stamps in self.stamps() {
            stamps.joiner.insert_failed(id, seq);
        }
    }
}

/// The load generator's observer for readiness probes, which are not counted.
pub(crate) struct ProbeLoad;

impl LoadObserver for ProbeLoad {
    fn sending(&self, _: &OutboxRow, _: Stamp, _: Stamp) {}

    fn acknowledged(&self, _: EventId, _: u64, _: Stamp) {}

    fn failed(&self, id: EventId, _: u64, reason: &str) {
        tracing::error!(%id, reason, "INSERT of the readiness probe refused");
    }
}
