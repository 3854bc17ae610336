//! What the taps see, joined until the observation is over and what is under way has come.

mod happenings;
mod reports;
mod sightings;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use cdc_bench_model::observation::{JoinerConfig, ObservationJoiner};
use cdc_bench_model::report::{Incident, ObservedPipeline};
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::application::ApplicationWatch;
use super::canary::{CanaryWatch, Sent};
use super::clocks::{LastStamp, ObservedClocks};
use super::discovery::{FoundCanary, Pipeline, Sink};
use super::evidence::{Collected, EvidenceCollector, EvidenceSources, Tallies};
use super::liveness::{Pings, Pulses};
use super::outcome;
use super::period::{self, Period};
use super::progress::ObserveProgress;
use super::request::ObserveRequest;
use super::service::Teller;
use super::sink_clock::SinkClock;
use super::sink_incidents::{SinkIncidents, other_keys};
use super::taps::sighting::Sighting;
use crate::pipeline::{DiskGuard, Failure};

/// How long what comes after a change waits for it.
const GRACE: Nanos = Nanos::from_millis(5_000);
/// Interval of judging what is missing, and of progress.
const TICK: Duration = Duration::from_millis(500);
/// Interval between measurements of the clocks at first; later a twentieth of the report's time so far.
const CLOCK_INTERVAL: Duration = Duration::from_secs(2);
/// How long the application's last lines are waited for.
const LAST_LINES: Duration = Duration::from_secs(3);
/// The step that the terminal shows.
pub(super) const STEP: &str = "observing";

/// What was found until now, over all periods.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    /// Something is missing.
    pub(super) missing: bool,
    /// An objective was missed.
    pub(super) missed: bool,
}

/// The canary, and where its changes have their last stamp.
struct Canary {
    watch: CanaryWatch,
    end: LastStamp,
}

/// What is known of the pipeline's parts.
struct Evidence {
    sources: EvidenceSources,
    collector: Option<EvidenceCollector>,
    /// What was collected, once that is over.
    collected: Option<Collected>,
}

/// Joins what the taps see.
pub(super) struct Watch {
    request: ObserveRequest,
    described: ObservedPipeline,
    clock: Clock,
    sightings: Receiver<Sighting>,
    pub(super) joiner: ObservationJoiner,
    pub(super) period: Period,
    pub(super) clocks: ObservedClocks,
    incidents: Vec<Incident>,
    pub(super) failed: Option<String>,
    pub(super) found: Found,
    teller: Teller,
    /// The report before, while it is written.
    storing: Option<JoinHandle<Result<(), Failure>>>,
    /// Everything committed before it was captured.
    wal_read_until: Option<Stamp>,
    /// When the group's offsets were asked for last.
    last_poll: Option<Stamp>,
    has_unreadable: bool,
    lines: SinkIncidents,
    canary: Option<Canary>,
    application: Option<ApplicationWatch>,
    pub(super) tallies: Tallies,
    evidence: Evidence,
    pulses: Arc<Pulses>,
    pings: Option<Pings>,
    /// Whether what it goes along with has ended.
    has_ended: bool,
    disk: DiskGuard,
}

impl Watch {
    pub(super) async fn new(
        request: &ObserveRequest,
        pipeline: &Pipeline,
        clock: Clock,
        sightings: Receiver<Sighting>,
    ) -> Result<Self, Failure> {
        let disk = DiskGuard::new(vec![request.folder.path().to_owned()], request.free_disk);
        disk.check()?;
        let sink = pipeline.sink.as_ref();
        let mut joiner = ObservationJoiner::new(JoinerConfig {
            limit: request.limit,
            grace: GRACE,
            partitions: pipeline
                .topics
                .iter()
                .map(|topic| topic.partitions)
                .collect(),
            has_group: pipeline.group.is_some(),
            sink_tables: sink.map_or_else(HashSet::new, |sink| sink.tables(&pipeline.tables)),
            without_deletions: sink.map_or_else(HashSet::new, Sink::without_deletions),
            reports_records: matches!(sink, Some(Sink::Lines(_))),
        });
        let sink_clock = SinkClock::of(sink, clock).await?;
        let source = pipeline.postgres.clone();
        let mut clocks = ObservedClocks::new(source, clock, pipeline.shares_clock, sink_clock);
        clocks.measure(true, &mut joiner).await?;
        let described = outcome::named(pipeline, request);
        let folder = request.folder.clone();
        let tallies = Tallies::default();
        let sources = EvidenceSources::of(pipeline, &request.id, request.connect_metrics.clone());
        let collector = EvidenceCollector::start(&sources, tallies.shared()).await?;
        let canary = pipeline.canary.as_ref();
        let pulses = Arc::default();
        let pings = Pings::start(pipeline, &pulses, tallies.shared())?;
        Ok(Self {
            teller: Teller::new(request, pipeline, &described, (clock, &pulses)),
            period: Period::new(request.id.clone(), folder, &described, joiner.counts()),
            request: request.clone(),
            described,
            clock,
            sightings,
            joiner,
            clocks,
            incidents: Vec::new(),
            failed: None,
            found: Found::default(),
            storing: None,
            wal_read_until: None,
            last_poll: None,
            has_unreadable: false,
            lines: SinkIncidents::default(),
            canary: canary.map(|canary| Canary {
                watch: CanaryWatch::new(canary, request.id.clone()),
                end: canary_end(canary, pipeline, request),
            }),
            application: pipeline
                .source_lines
                .as_ref()
                .map(|source| ApplicationWatch::new(source, clock, request.limit)),
            tallies,
            evidence: Evidence {
                sources,
                collector: Some(collector),
                collected: None,
            },
            pulses,
            pings: Some(pings),
            has_ended: false,
            disk,
        })
    }

    /// What the canary's sender notes, if there is a canary.
    pub(super) fn canary_sent(&self) -> Option<Sent> {
        self.canary.as_ref().map(|canary| canary.watch.sent())
    }

    /// The pipeline's parts are not looked at any more.
    pub(super) async fn stop_looking(&mut self) {
        if let Some(collector) = self.evidence.collector.take() {
            self.evidence.collected = collector.stop().await;
        }
    }

    /// They are looked at again, for the next report.
    async fn look_again(&mut self) {
        let tallies = self.tallies.shared();
        match EvidenceCollector::start(&self.evidence.sources, tallies).await {
            Ok(collector) => self.evidence.collector = Some(collector),
            Err(failure) => {
                tracing::warn!(%failure, "the next report will have no findings");
            }
        }
    }

    /// The taps are open since `at`: the first report begins.
    ///
    /// # Errors
    /// When its files cannot be made.
    pub(super) fn begin(&mut self, at: jiff::Timestamp) -> Result<(), Failure> {
        if self.request.periods.is_some() {
            period::mark(&self.period.folder, &self.described)?;
        }
        Ok(self.period.begin(at)?)
    }

    /// Follows changes until the time is over, a tap fails, or `cancel` says so.
    pub(super) async fn follow(
        &mut self,
        progress: &dyn ObserveProgress,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let end = self.request.duration.map(|duration| began + duration);
        let mut measured = began;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.failed.is_none() && !self.has_ended && end.is_none_or(|end| Instant::now() < end)
        {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                _ = ticks.tick() => {
                    self.settle()?;
                    self.failed = self.disk.check().err().map(|full| full.to_string());
                    progress.update(STEP, &self.describe(began));
                    self.tell(progress);
                    if measured.elapsed() >= CLOCK_INTERVAL.max(self.period.elapsed() / 20) {
                        measured = Instant::now();
                        self.measure_clocks(false).await;
                        let bound = outcome::hop_bound(&self.clocks, &self.described);
                        self.teller.errors(bound);
                    }
                    let periods = self.request.periods.as_ref();
                    let due = periods.filter(|periods| self.period.elapsed() >= periods.every);
                    if let Some(periods) = due.cloned() {
                        self.next_period(periods, progress).await?;
                    }
                }
                sighting = self.sightings.recv() => match sighting {
                    Ok(sighting) => self.take(sighting),
                    Err(_) => break,
                },
            }
        }
        self.period.closed();
        Ok(())
    }

    /// Measures the clocks. A server that is away for a while cannot be measured.
    pub(super) async fn measure_clocks(&mut self, at_an_end: bool) {
        if let Some(trouble) = self.pulses.trouble("wal") {
            tracing::debug!(trouble, "the clocks are not measured");
            return;
        }
        if let Err(failure) = self.clocks.measure(at_an_end, &mut self.joiner).await {
            tracing::debug!(%failure, "the clocks could not be measured");
        }
        if let Some(application) = &mut self.application {
            application.measure(self.clock.now());
            self.clocks.set_application(application.bound());
        }
    }

    /// The servers are not asked any more.
    pub(super) async fn stop_asking(&mut self) {
        if let Some(pings) = self.pings.take() {
            pings.stop().await;
        }
    }

    /// Waits for the changes under way, which the WAL had before its tap was stopped; not long once the user has asked to stop.
    pub(super) async fn drain(
        &mut self,
        request: &ObserveRequest,
        progress: &dyn ObserveProgress,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut end = Instant::now() + request.drain;
        let end_of_lines = Instant::now() + request.drain.min(LAST_LINES);
        let mut is_asked = false;
        while self.failed.is_none() {
            let now = Instant::now();
            if cancel.is_cancelled() && !is_asked {
                is_asked = true;
                end = end.min(now + request.drain_once_asked);
            }
            let has_more = self.joiner.counts().in_flight > 0 && now < end;
            let application = self.application.as_ref();
            let waits = now < end_of_lines && application.is_some_and(ApplicationWatch::waits);
            if !has_more && !waits {
                break;
            }
            let until = tokio::time::Instant::now() + TICK;
            while let Ok(Ok(sighting)) = tokio::time::timeout_at(until, self.sightings.recv()).await
            {
                self.take(sighting);
            }
            self.settle()?;
            let left = self.joiner.counts().in_flight;
            progress.update(STEP, &format!("waiting for the last {left} changes"));
            self.tell(progress);
        }
        // What the taps have seen until now counts.
        while let Ok(sighting) = self.sightings.try_recv() {
            self.take(sighting);
        }
        self.settle()?;
        if let Some(application) = &mut self.application {
            application.finish();
        }
        Ok(())
    }

    /// Judges what is overdue, and records what is complete.
    fn settle(&mut self) -> Result<(), Failure> {
        self.joiner.judge(self.clock.now(), self.wal_read_until);
        self.take_pulses();
        self.incidents.extend(other_keys(&mut self.joiner));
        for change in self.joiner.take_completed() {
            match &mut self.canary {
                Some(canary) if canary.watch.has_made(&change) => {
                    self.teller.canary_completed(&change);
                    canary.watch.completed(change);
                }
                _ => {
                    if let Some(application) = &mut self.application {
                        application.completed(&change);
                    }
                    self.tallies.completed(&change);
                    self.period.recording.record(&change);
                    self.teller.completed(&change);
                }
            }
        }
        if let Some(application) = &mut self.application {
            for sent in application.settle(self.clock.now()) {
                self.period.recording.sent(&sent);
                self.teller.sent(&sent);
            }
        }
        for change in self.joiner.take_missing() {
            if let Some(canary) = &mut self.canary {
                canary.watch.missing(&change);
            }
            tracing::warn!(table = &*change.id.table, key = &*change.id.key, lsn = ?change.id.lsn, at = ?change.at, "a change is missing");
            self.period.recording.missing(&change)?;
        }
        self.period.recording.tick();
        Ok(())
    }
}

/// Where the canary's changes have their last stamp.
fn canary_end(canary: &FoundCanary, pipeline: &Pipeline, request: &ObserveRequest) -> LastStamp {
    let table = canary.table();
    let in_sink = |sink: &Sink| sink.tables(&pipeline.tables).contains(&table);
    if pipeline.sink.as_ref().is_some_and(in_sink) {
        LastStamp::Sink
    } else if pipeline.group.is_some() && *canary != FoundCanary::Message {
        LastStamp::Group(outcome::half_of(request.poll_interval))
    } else {
        LastStamp::Kafka
    }
}
