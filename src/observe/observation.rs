//! An observation: the taps opened, their sightings joined until it is over, the last changes waited for, the result.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use cdc_bench_model::observation::{JoinerConfig, ObservationJoiner, RecordPosition};
use cdc_bench_model::report::{Incident, ObservationReport};
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};
use cdc_bench_stack::StepProgress;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::canary::{CanarySender, CanaryWatch};
use super::clocks::{LastStamp, ObservedClocks};
use super::discovery::{FoundCanary, Pipeline, Sink};
use super::evidence::{EvidenceCollector, Tallies, conclude};
use super::outcome::{Recording, Times, half_of, is_by_broker, named, report};
use super::request::ObserveRequest;
use super::sink_clock::SinkClock;
use super::sink_incidents::{SinkIncidents, other_keys};
use super::taps::following::Following;
use super::taps::sighting::{LeftOut, Passed, QUEUE, Sighting};
use super::taps::wal::WalTap;
use super::taps::{offsets, sink, topics};
use crate::broker::{OffsetPoll, OffsetPoller, TopicTail};
use crate::pipeline::{Failure, connect_postgres};

/// How long what comes after a change waits for it.
const GRACE: Nanos = Nanos::from_millis(5_000);
/// Interval of judging what is missing, and of progress.
const TICK: Duration = Duration::from_millis(500);
/// Interval between measurements of the clocks at first; later a twentieth of the time so far.
const CLOCK_INTERVAL: Duration = Duration::from_secs(2);
/// The step that the terminal shows.
const STEP: &str = "observing";

/// What an observation has found.
pub struct Observation {
    /// The report.
    pub report: ObservationReport,
    /// Why it ended early, if a tap could not go on.
    pub failed: Option<String>,
}

/// The taps at work.
struct Taps {
    stop_wal: CancellationToken,
    wal: JoinHandle<()>,
    tail: TopicTail,
    poller: OffsetPoller,
    sink: Option<Following>,
    /// When they were open.
    opened: jiff::Timestamp,
}

/// Observes until the time is over or `cancel` says so.
///
/// # Errors
/// When a tap cannot be opened: a server is missing or refuses. Nothing is left then.
pub async fn observe(
    request: ObserveRequest,
    mut pipeline: Pipeline,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<Observation, Failure> {
    let clock = Clock::start();
    let described = named(&pipeline, &request);
    let canary = pipeline.canary.clone();
    let ends_of_canary = canary
        .as_ref()
        .map(|canary| canary_end(canary, &pipeline, &request));
    let (sender, sightings) = async_channel::bounded(QUEUE);
    let mut watch = Watch::new(&request, &pipeline, clock, sightings).await?;
    let tallies = watch.tallies.shared();
    let metrics = request.connect_metrics.clone();
    let evidence = EvidenceCollector::start(&pipeline, &request.id, metrics, tallies).await?;
    progress.begin(STEP);
    let taps = Taps::open(&request, &mut pipeline, clock, sender, &mut watch).await?;
    let mut sender = None;
    if let (Some(canary), Some(watch)) = (&canary, &watch.canary) {
        let (endpoint, interval) = (&pipeline.postgres, request.canary_interval);
        let sent = watch.sent();
        sender = Some(CanarySender::start(canary, endpoint, interval, clock, sent).await?);
    }
    let began = Instant::now();
    watch.follow(request.duration, progress, cancel).await?;
    let duration = began.elapsed();
    let rows = match sender {
        Some(sender) => sender.stop().await,
        None => None,
    };
    let collected = evidence.stop().await;
    taps.stop_wal.cancel();
    watch.drain(request.drain, progress).await?;
    if let Some(rows) = rows {
        rows.remove().await;
    }
    let started_at = taps.opened;
    taps.stop().await;
    if let Err(failure) = watch.clocks.measure(true, &mut watch.joiner).await {
        tracing::warn!(%failure, "the clocks could not be measured again");
    }
    progress.end(STEP, "");
    let times = Times {
        started_at,
        finished_at: jiff::Timestamp::now(),
        duration_s: (duration.as_secs_f64() * 1e3).round() / 1e3,
    };
    let Watch {
        joiner,
        recording,
        clocks,
        incidents,
        failed,
        canary,
        tallies,
        ..
    } = watch;
    let mut report = report(
        (&request.id, &request),
        described,
        &recording,
        joiner.counts(),
        &clocks,
        (times, incidents),
    );
    if let (Some(canary), Some(last)) = (canary, ends_of_canary) {
        let by_broker = is_by_broker(&report.pipeline);
        let interval = Nanos::from(request.canary_interval);
        canary.add_to(&mut report, interval, |hop| {
            clocks.bound(hop, by_broker, last)
        });
    }
    conclude(&mut report, collected, tallies);
    Ok(Observation { report, failed })
}

/// Where the canary's changes have their last stamp.
fn canary_end(canary: &FoundCanary, pipeline: &Pipeline, request: &ObserveRequest) -> LastStamp {
    let table = canary.table();
    let in_sink = |sink: &Sink| sink.tables(&pipeline.tables).contains(&table);
    if pipeline.sink.as_ref().is_some_and(in_sink) {
        LastStamp::Sink
    } else if pipeline.group.is_some() && *canary != FoundCanary::Message {
        LastStamp::Group(half_of(request.poll_interval))
    } else {
        LastStamp::Kafka
    }
}

impl Taps {
    /// Opens the taps from the pipeline's end to its beginning, so that no change is seen at one and missed at a later one.
    async fn open(
        request: &ObserveRequest,
        pipeline: &mut Pipeline,
        clock: Clock,
        sightings: Sender<Sighting>,
        watch: &mut Watch,
    ) -> Result<Self, Failure> {
        let mut following = None;
        if let Some(found) = pipeline.sink.take() {
            let sender = sightings.clone();
            following = Some(sink::open(found, pipeline, &request.id, clock, sender).await?);
        }
        let interval = request.poll_interval;
        let poller = offsets::open(pipeline, interval, clock, sightings.clone()).await?;
        let read = watch.tallies.shared();
        let tail = topics::open(pipeline, &request.id, clock, sightings.clone(), read).await?;
        for from in tail.positions() {
            watch.joiner.read_up_to(RecordPosition {
                topic: from.topic,
                partition: from.partition,
                offset: from.offset,
            });
        }
        let wal = WalTap::new(pipeline, &request.id, request.max_retained_wal, clock);
        let reader = wal.open(sightings.clone()).await?;
        let stop_wal = CancellationToken::new();
        let wal = tokio::spawn(wal.keep_reading(reader, sightings, stop_wal.clone()));
        Ok(Self {
            stop_wal,
            wal,
            tail,
            poller,
            sink: following,
            opened: jiff::Timestamp::now(),
        })
    }

    async fn stop(self) {
        if let Some(sink) = self.sink {
            sink.stop().await;
        }
        if let Err(error) = self.wal.await {
            tracing::warn!(%error, "the tap of the WAL did not stop cleanly");
        }
        tokio::join!(self.tail.stop(), self.poller.stop());
    }
}

/// Joins what the taps see.
struct Watch {
    clock: Clock,
    sightings: Receiver<Sighting>,
    joiner: ObservationJoiner,
    recording: Recording,
    clocks: ObservedClocks,
    canary: Option<CanaryWatch>,
    tallies: Tallies,
    incidents: Vec<Incident>,
    failed: Option<String>,
    /// Everything committed before it was captured.
    wal_read_until: Option<Stamp>,
    /// When the group's offsets were asked for last.
    last_poll: Option<Stamp>,
    has_unreadable: bool,
    lines: SinkIncidents,
    /// Whether what it goes along with has ended.
    has_ended: bool,
}

impl Watch {
    async fn new(
        request: &ObserveRequest,
        pipeline: &Pipeline,
        clock: Clock,
        sightings: Receiver<Sighting>,
    ) -> Result<Self, Failure> {
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
            reports_records: matches!(sink, Some(Sink::Lines(_))),
        });
        let client = connect_postgres(&pipeline.postgres).await?;
        let sink_clock = SinkClock::of(sink, clock);
        let mut clocks = ObservedClocks::new(client, clock, pipeline.shares_clock, sink_clock);
        clocks.measure(true, &mut joiner).await?;
        Ok(Self {
            clock,
            sightings,
            joiner,
            recording: Recording::new(&request.folder, pipeline),
            clocks,
            canary: pipeline
                .canary
                .as_ref()
                .map(|canary| CanaryWatch::new(canary, request.id.clone())),
            tallies: Tallies::default(),
            incidents: Vec::new(),
            failed: None,
            wal_read_until: None,
            last_poll: None,
            has_unreadable: false,
            lines: SinkIncidents::default(),
            has_ended: false,
        })
    }

    /// Follows changes until the time is over, a tap fails, or `cancel` says so.
    async fn follow(
        &mut self,
        duration: Option<Duration>,
        progress: &dyn StepProgress,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let end = duration.map(|duration| began + duration);
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
                    progress.update(STEP, &self.describe(began, duration));
                    if measured.elapsed() >= CLOCK_INTERVAL.max(began.elapsed() / 20) {
                        measured = Instant::now();
                        // A server that is away for a while cannot be measured.
                        if let Err(failure) = self.clocks.measure(false, &mut self.joiner).await {
                            tracing::debug!(%failure, "the clocks could not be measured");
                        }
                    }
                }
                sighting = self.sightings.recv() => match sighting {
                    Ok(sighting) => self.take(sighting),
                    Err(_) => break,
                },
            }
        }
        Ok(())
    }

    /// Waits for the changes under way, which the WAL had before its tap was stopped.
    async fn drain(&mut self, limit: Duration, progress: &dyn StepProgress) -> Result<(), Failure> {
        let end = Instant::now() + limit;
        while self.joiner.counts().in_flight > 0 && self.failed.is_none() && Instant::now() < end {
            let until = tokio::time::Instant::now() + TICK;
            while let Ok(Ok(sighting)) = tokio::time::timeout_at(until, self.sightings.recv()).await
            {
                self.take(sighting);
            }
            self.settle()?;
            let left = self.joiner.counts().in_flight;
            progress.update(STEP, &format!("waiting for the last {left} changes"));
        }
        // What the taps have seen until now counts.
        while let Ok(sighting) = self.sightings.try_recv() {
            self.take(sighting);
        }
        self.settle()
    }

    /// Judges what is overdue, and records what is complete.
    fn settle(&mut self) -> Result<(), Failure> {
        self.joiner.judge(self.clock.now(), self.wal_read_until);
        self.incidents.extend(other_keys(&mut self.joiner));
        for change in self.joiner.take_completed() {
            let users = match &mut self.canary {
                Some(canary) => canary.completed(change),
                None => Some(change),
            };
            if let Some(change) = users {
                self.recording.record(&change);
            }
        }
        for change in self.joiner.take_missing() {
            if let Some(canary) = &mut self.canary {
                canary.missing(&change);
            }
            tracing::warn!(table = &*change.id.table, key = &*change.id.key, lsn = ?change.id.lsn, at = ?change.at, "a change is missing");
            self.recording.missing(&change)?;
        }
        Ok(())
    }

    fn take(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Captured(change) => {
                if let Some(canary) = &mut self.canary {
                    canary.captured(&change);
                }
                self.tallies.captured(&change);
                self.joiner.captured(change);
            }
            Sighting::LeftOut(kind) => {
                let filtered = &mut self.joiner.counts_mut().filtered;
                match kind {
                    LeftOut::Table => filtered.other_tables += 1,
                    LeftOut::Operation => filtered.skipped_operations += 1,
                    LeftOut::Message => filtered.messages += 1,
                }
            }
            Sighting::WalRead(until) => self.wal_read_until = Some(until),
            Sighting::Recorded(change) => {
                if let Some(canary) = &mut self.canary {
                    canary.recorded(&change);
                }
                self.joiner.recorded(change);
            }
            Sighting::Passed(position, kind) => {
                self.joiner.seen(position);
                self.passed(kind);
            }
            Sighting::ReadUpTo(position) => self.joiner.read_up_to(position),
            Sighting::Unknown(position, reason) => {
                self.joiner.seen(position);
                self.joiner.counts_mut().filtered.others += 1;
                self.keep(position, &reason);
            }
            Sighting::Unreadable(position, reason) => {
                self.joiner.unreadable(position);
                self.keep(position, &reason);
                if !std::mem::replace(&mut self.has_unreadable, true) {
                    tracing::warn!(
                        ?position,
                        reason,
                        "a record cannot be read; others are counted"
                    );
                    self.incidents.push(Incident {
                        at: jiff::Timestamp::now(),
                        kind: "unreadable_record".to_owned(),
                        what: format!("the first record that could not be read: {reason}"),
                        took: None,
                    });
                }
            }
            Sighting::Offsets(poll) => self.offsets(&poll),
            Sighting::Shown(change) => self.joiner.shown(change),
            Sighting::Consumed(report) => {
                self.incidents.extend(self.lines.reported(&report));
                self.joiner.consumed(report);
            }
            Sighting::Line(problem) => {
                let counts = self.joiner.lines_mut();
                self.incidents.extend(self.lines.problem(counts, problem));
            }
            Sighting::Ended(what) => {
                self.incidents.push(Incident {
                    at: jiff::Timestamp::now(),
                    kind: "input_ended".to_owned(),
                    what,
                    took: None,
                });
                self.has_ended = true;
            }
            Sighting::Resumed(tap, reason) => self.incidents.push(Incident {
                at: jiff::Timestamp::now(),
                kind: "tap_resumed".to_owned(),
                what: match tap {
                    "wal" => format!("the WAL's connection was cut, and the WAL is read from a later position on: changes committed in between are not seen there, and are counted as not_covered when their records come: {reason}"),
                    tap => format!("the tap of the {tap} was cut and goes on: {reason}"),
                },
                took: None,
            }),
            Sighting::Failed(reason) => self.failed = Some(reason),
        }
    }

    /// Keeps where a record is of which nothing can be made.
    fn keep(&mut self, position: RecordPosition, reason: &str) {
        if let Err(error) = self.recording.unreadable(position, reason) {
            self.failed = Some(error.to_string());
        }
    }

    fn passed(&mut self, kind: Passed) {
        let filtered = &mut self.joiner.counts_mut().filtered;
        let count = match kind {
            Passed::Tombstone => &mut filtered.tombstones,
            Passed::Heartbeat => &mut filtered.heartbeats,
            Passed::Transaction => &mut filtered.transactions,
            Passed::SchemaChange => &mut filtered.schema_changes,
            Passed::Message => &mut filtered.messages,
            Passed::OtherTable => &mut filtered.other_tables,
        };
        *count += 1;
    }

    fn offsets(&mut self, poll: &OffsetPoll) {
        self.tallies.offsets(poll);
        if let Some(silence) = poll.silence {
            self.incidents.push(Incident {
                at: jiff::Timestamp::now(),
                kind: "tap_resumed".to_owned(),
                what: "the broker did not answer for a while, and does again; records and offsets since are late".to_owned(),
                took: Some(Nanos::from(silence).round_micros()),
            });
        }
        if let Some((asked, answered)) = poll.asked {
            // It was passed at some time since the poll before.
            let since = self.last_poll.unwrap_or(asked);
            let at = since + Nanos((answered - since).0 / 2);
            for found in &poll.committed {
                self.joiner
                    .committed(found.topic, found.partition, found.offset, at);
            }
            self.last_poll = Some(asked);
        }
        if let Some(at) = poll.ends_at {
            for found in &poll.ends {
                self.joiner
                    .ends(found.topic, found.partition, found.offset, at);
            }
        }
    }

    fn describe(&self, began: Instant, duration: Option<Duration>) -> String {
        let counts = self.joiner.counts();
        let median = self.recording.median();
        let median = median.map_or("-".to_owned(), |median| median.to_string());
        let time = match duration {
            Some(duration) => {
                format!("{} of {} s", began.elapsed().as_secs(), duration.as_secs())
            }
            None => format!("{} s, Ctrl-C ends it", began.elapsed().as_secs()),
        };
        format!(
            "{time}: {} changes, {} followed to their end, {} under way, {} missing; total p50 {median}",
            counts.captured, counts.completed, counts.in_flight, counts.missing
        )
    }
}
