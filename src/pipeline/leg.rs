//! A leg of a run: some paths follow the same events from set-up to drain. A run is one leg of all its paths, or, where
//! they take turns, many legs of one path each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::checkpoints::Checkpoint;
use super::circumstances::{self, Circumstances, slot_lags};
use super::clocks::Clocks;
use super::cpu::{self, Used};
use super::followers::Followers;
use super::gauge::Meters;
use super::lookout::Lookout;
use super::observer::{PathObserver, RunNames};
use super::phases::Phases;
use super::route::Route;
use super::{Failure, RunProgress, RunRequest, Servers};
use crate::broker::Rebalance;
use crate::load::{Limit, LoadControl, LoadSummary};
use cdc_bench_model::report::Recorder;
use cdc_bench_model::timeline::{CapturePath, Clock, Joiner, Tally};
use cdc_bench_stack::Stack;

/// What every leg of a run works with.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) request: &'a RunRequest,
    pub(super) stack: &'a Stack,
    pub(super) servers: &'a Servers,
    pub(super) publication: &'a str,
    pub(super) clocks: &'a Clocks,
    pub(super) recorder: &'a Recorder,
    pub(super) meters: &'a Meters,
    pub(super) clock: Clock,
    pub(super) progress: &'a dyn RunProgress,
    pub(super) cancel: &'a CancellationToken,
}

/// Which paths, and which events.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub(super) round: u32,
    pub(super) paths: Vec<CapturePath>,
    pub(super) names: RunNames,
    pub(super) limit: Limit,
    /// Events that earlier legs of the same load have inserted.
    pub(super) done: u64,
    /// Whether it is the first on Debezium's path: its warm-up tells Connect's clock.
    pub(super) settles_connect: bool,
}

/// A path at work: its way through the servers, who follows it, and where its events meet.
pub(super) struct Path {
    pub(super) route: Route,
    pub(super) observer: Arc<PathObserver>,
    pub(super) followers: Followers,
}

/// What a leg came to.
#[derive(Debug)]
pub(super) struct LegOutcome {
    pub(super) paths: Vec<PathOutcome>,
    pub(super) load: LoadSummary,
    /// Events before the measured ones.
    pub(super) warmup_events: u64,
    /// Processor time of what the paths share.
    pub(super) shared: Used,
    /// What went on beside the events.
    pub(super) circumstances: Circumstances,
    /// PostgreSQL's meanwhile.
    pub(super) checkpoints: Vec<Checkpoint>,
}

/// What a path came to in a leg.
#[derive(Debug, Clone)]
pub(super) struct PathOutcome {
    pub(super) route: Route,
    pub(super) tally: Tally,
    pub(super) in_kafka: u64,
    pub(super) dead_letters: u64,
    /// When the connector's task had failed and was started again.
    pub(super) connector_restarts: Vec<jiff::Timestamp>,
    /// Whether every event came through before the drain ended.
    pub(super) drained: bool,
    /// Processor time of what worked for this path alone.
    pub(super) used: Used,
    /// The consumer group's while events were under way.
    pub(super) rebalances: Vec<Rebalance>,
    /// Bytes of WAL that the slot's sender was behind when the load ended, where that is known.
    pub(super) slot_lag: Option<u64>,
    /// Whether the connector was copying tables still.
    pub(super) in_snapshot: bool,
}

/// Adds processor time to processor time.
pub(super) fn add_used(sum: &mut Used, more: Used) {
    for (name, used) in more {
        *sum.entry(name).or_default() += used;
    }
}

impl PathOutcome {
    /// Adds what the same path came to in another leg.
    pub(super) fn add(&mut self, other: Self) {
        self.tally.add(&other.tally);
        self.in_kafka += other.in_kafka;
        self.dead_letters += other.dead_letters;
        self.connector_restarts.extend(other.connector_restarts);
        self.drained &= other.drained;
        add_used(&mut self.used, other.used);
        self.rebalances.extend(other.rebalances);
        self.slot_lag = self.slot_lag.max(other.slot_lag);
        self.in_snapshot |= other.in_snapshot;
        self.route = other.route;
    }
}

impl Course<'_> {
    /// How fast every load goes.
    pub(super) fn pace(&self) -> LoadControl {
        let steered = self.progress.pace();
        steered.unwrap_or_else(|| self.request.rate.into())
    }

    /// Makes the paths ready and starts whoever follows them.
    pub(super) async fn begin(
        &self,
        leg: &Leg,
        detail: &(dyn Fn(&str) + Sync),
    ) -> Result<Vec<Path>, Failure> {
        let (servers, request) = (self.servers, self.request);
        let mut paths = Vec::new();
        for &path in &leg.paths {
            let context = (servers, request, self.stack);
            let route = Route::prepare(
                path,
                leg.round,
                context,
                self.publication,
                detail,
                self.cancel,
            )
            .await?;
            detail("starting reader and consumer");
            let recorder = self.recorder.handle(path, leg.round);
            let kafka = route.kafka.as_ref();
            let log_append_time = kafka.is_some_and(|kafka| kafka.log_append_time);
            let in_kafka = path.in_kafka(log_append_time);
            let foreign = &self.clocks.foreign;
            let joiner = Joiner::new(in_kafka, Arc::clone(foreign));
            let is_observed = path != CapturePath::Debezium || request.observer;
            let joiner = if is_observed {
                joiner
            } else {
                joiner.unobserved()
            };
            let observer = PathObserver::new(
                path,
                leg.names.clone(),
                joiner,
                recorder,
                request.transform_delay,
            );
            let metrics = request.metrics.as_ref();
            let traces = request.traces.as_ref();
            let observer = observer
                .metered(metrics.map(|metrics| metrics.of_path(path)))
                .traced(traces.map(|traces| traces.of_path(path, in_kafka, foreign)));
            let observer = Arc::new(observer);
            if let Some(metrics) = metrics {
                metrics.follow(path, Arc::clone(&observer));
            }
            let followers =
                Followers::start(request, servers, &route, &observer, self.clock).await?;
            paths.push(Path {
                route,
                observer,
                followers,
            });
        }
        Ok(paths)
    }

    /// Sends the events and waits until they are through.
    pub(super) async fn go(&self, leg: &Leg, paths: Vec<Path>) -> Result<LegOutcome, Failure> {
        let metrics = self.request.metrics.as_deref();
        let lookout = Lookout::over((self.servers, self.stack), &paths, self.clock, metrics);
        let phases = Phases {
            course: *self,
            leg,
            paths,
            seen: lookout.seen(),
        };
        let mut outcome = lookout.during(self.follow(leg, phases)).await;
        if let Ok(outcome) = &mut outcome {
            outcome.checkpoints = lookout.checkpoints();
        }
        if let Some(metrics) = metrics {
            metrics.unfollow();
        }
        outcome
    }

    async fn follow(&self, leg: &Leg, mut phases: Phases<'_>) -> Result<LegOutcome, Failure> {
        let step = "first event through";
        self.progress.begin(step);
        let told = |sent: u64| {
            let detail = format!("{sent} sent, none through on every path yet");
            self.progress.update(step, &detail);
        };
        phases.probe(&told).await?;
        self.progress.end(step, "every path has caught up");
        let warmup_events = phases.warm_up().await?;
        if leg.settles_connect {
            self.clocks.settle_connect().await;
        }
        let before = self.marks(&phases.paths).await?;
        let postgres = &self.servers.postgres;
        let began = circumstances::Reading::take(self.stack, postgres).await;
        let idle = cpu::Reading::take(self.stack, postgres).await;
        let load = phases.load().await?;
        let lags = slot_lags(postgres).await;
        let drained = phases.drain().await?;
        let worked = cpu::Reading::take(self.stack, postgres).await;
        let circumstances = circumstances::Reading::take(self.stack, postgres).await;
        let circumstances = circumstances.since(&began);
        let after = self.marks(&phases.paths).await?;
        let (mut own, mut shared) = worked.since(&idle, &phases.paths);
        if let [alone] = &mut own[..] {
            add_used(alone, std::mem::take(&mut shared));
        }
        let mut outcomes = Vec::new();
        let marks = before.into_iter().zip(after);
        let measured = drained.into_iter().zip(own).zip(marks);
        for (path, ((drained, used), (before, mut after))) in phases.paths.into_iter().zip(measured)
        {
            let observer = path.observer;
            let foreign = after.foreign - before.foreign;
            let in_snapshot = self.is_in_snapshot(&path.route).await;
            let connector_restarts = path.followers.stop(&observer).await?;
            let slot = path.route.slot.as_ref();
            let path_lag = slot.and_then(|slot| lags.get(slot).copied());
            outcomes.push(PathOutcome {
                route: path.route,
                tally: observer.joiner.tally(),
                in_kafka: (after.appended - before.appended).saturating_sub(foreign),
                dead_letters: observer.dead_letters.load(Ordering::Relaxed),
                connector_restarts,
                drained,
                used,
                rebalances: after.rebalances.split_off(before.rebalances.len()),
                slot_lag: path_lag,
                in_snapshot,
            });
        }
        Ok(LegOutcome {
            paths: outcomes,
            load,
            warmup_events,
            shared,
            circumstances,
            checkpoints: Vec::new(),
        })
    }

    /// What Connect does not tell is not so.
    async fn is_in_snapshot(&self, route: &Route) -> bool {
        let (Some(connect), Some(connector)) = (&self.servers.connect, &route.connector) else {
            return false;
        };
        let asked = connect.is_in_snapshot(&connector.name).await;
        asked.unwrap_or_else(|error| {
            tracing::debug!(%error, "whether there is a snapshot is not known");
            false
        })
    }

    /// How far each path's topic and counters are.
    async fn marks(&self, paths: &[Path]) -> Result<Vec<Mark>, Failure> {
        let mut marks = Vec::new();
        for path in paths {
            let appended = match &path.route.kafka {
                Some(kafka) => {
                    let ends = self
                        .servers
                        .kafka
                        .end_offsets(&kafka.topic, kafka.partitions);
                    ends.await?
                }
                None => 0,
            };
            marks.push(Mark {
                appended,
                foreign: path.observer.foreign.load(Ordering::Relaxed),
                rebalances: path.followers.rebalances.so_far(),
            });
        }
        Ok(marks)
    }
}

/// Where a path stands.
struct Mark {
    /// Records ever appended to its topic.
    appended: u64,
    /// Records of others among them that came by.
    foreign: u64,
    /// Those of its consumer's group.
    rebalances: Vec<Rebalance>,
}
