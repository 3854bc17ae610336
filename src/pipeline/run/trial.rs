//! Executes a trial: some paths process the same events, from set-up to drain. A run is one trial of all its paths, or, when
//! they are interleaved, many trials of one path each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cdc_bench_model::event::Generator;
use cdc_bench_model::timeline::{CapturePath, Joiner};

use crate::broker::{Rebalance, count_records};
use crate::consumer::DeadLetterTopic;
use crate::load::LoadControl;
use crate::pipeline::distributed::coordinator::Coordinator;
use crate::pipeline::failure::Failure;
use crate::pipeline::monitor::cpu::CpuSample;
use crate::pipeline::monitor::resource_usage::UsageSample;
use crate::pipeline::monitor::server_monitor::ServerMonitor;
use crate::pipeline::monitor::slot_lag::slot_lags;
use crate::pipeline::provision::dead_letter_topic::{PublishedDeadLetters, run_topic_name};
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::servers::renewed_postgres;
use crate::pipeline::run::context::{ActivePath, RunContext, Trial};
use crate::pipeline::run::fault_runner::FaultRunner;
use crate::pipeline::run::observer::{PathObserver, WarmUpStamps};
use crate::pipeline::run::phases::Phases;
use crate::pipeline::run::trial_outcome::{PathOutcome, ShardOutcome, TrialOutcome, add_used};
use crate::pipeline::run::workers::{Here, WorkerSetup, Workers};

impl RunContext<'_> {
    /// The pace of every load; controlled by the user where the command allows it.
    pub(crate) fn pace(&self) -> LoadControl {
        let control = self.progress.pace();
        control.unwrap_or_else(|| self.request.rate.into())
    }

    /// Prepares the routes and starts the workers of the trial's paths.
    pub(crate) async fn start_paths(
        &self,
        trial: &Trial,
        detail: &(dyn Fn(&str) + Sync),
    ) -> Result<Vec<ActivePath>, Failure> {
        let (servers, request) = (self.servers, self.request);
        let mut paths = Vec::new();
        for &path in &trial.paths {
            let context = (servers, request, self.stack);
            let planned = self.distributed.and_then(|test| test.route(path));
            let route = match planned {
                Some(planned) => Route::planned(planned, &servers.store),
                None => {
                    let (publications, cancel) = (self.publications, self.cancel);
                    Route::prepare(path, trial.round, context, publications, detail, cancel).await?
                }
            };
            let sources = route.sources.iter();
            sources
                .flat_map(|source| [&source.slot, &source.observer_slot])
                .flatten()
                .for_each(|slot| self.postgres_guard.add(slot));
            detail("starting reader and consumer");
            let recorder = self.recorder.handle(path, trial.round);
            let kafka = route.kafka();
            let log_append_time = kafka.is_some_and(|kafka| kafka.log_append_time);
            let in_kafka = path.in_kafka(log_append_time);
            let foreign = &self.clocks.foreign;
            let is_observed = path != CapturePath::Debezium || request.observer;
            let joiner = || {
                let joiner = Joiner::new(in_kafka, Arc::clone(foreign));
                if is_observed {
                    joiner
                } else {
                    joiner.unobserved()
                }
            };
            let warm_up = WarmUpStamps::new(joiner(), self.live_metrics.warm_up_listener(path));
            let observer = PathObserver::new(
                path,
                trial.names.clone(),
                joiner(),
                warm_up,
                recorder,
                request.transform_delay,
            );
            let has_faults = !request.faults.is_empty();
            let rows = has_faults.then(|| {
                let rows = Generator::new(request.seed, jiff::Timestamp::now());
                rows.with_hot_share(request.hot_share)
            });
            let metrics = request.metrics.as_ref();
            let traces = request.traces.as_ref();
            let observer = observer
                .with_order(rows)
                .with_partitions(route.partitions())
                .with_metrics(metrics.map(|metrics| metrics.for_path(path)))
                .with_traces(traces.map(|traces| traces.for_path(path, in_kafka, foreign)));
            let observer = Arc::new(observer);
            if let Some(metrics) = metrics {
                let observer = Arc::clone(&observer);
                metrics.track_path(path, move || observer.counts());
            }
            let dead_letters = self.dead_letter_topic(&route);
            let setup = WorkerSetup {
                request,
                servers,
                links: self.links,
                route: &route,
                observer: &observer,
                here: match self.distributed {
                    Some(test) if test.is_taken_up() => Here::Nothing,
                    Some(_) => Here::Preparation,
                    None => Here::All,
                },
                dead_letters: &dead_letters,
                clock: self.clock,
                session: self.member_session(),
            };
            let workers = Workers::start(setup).await?;
            paths.push(ActivePath {
                route,
                observer,
                dead_letters,
                workers,
            });
        }
        Ok(paths)
    }

    /// The run's topic of dead letters; none on servers that are discarded with everything on them.
    fn dead_letter_topic(&self, route: &Route) -> Option<Arc<dyn DeadLetterTopic>> {
        if self.stack.exclusive() {
            return None;
        }
        let source = route.kafka().map(|kafka| &*kafka.topic);
        let endpoints = &self.servers.endpoints;
        let topic = PublishedDeadLetters::of_run(&self.request.id, endpoints, source);
        Some(topic as Arc<_>)
    }

    /// Sends the events and waits until they are drained, while the server monitor polls the servers.
    pub(crate) async fn execute(
        &self,
        trial: &Trial,
        paths: Vec<ActivePath>,
    ) -> Result<TrialOutcome, Failure> {
        let metrics = self.request.metrics.as_deref();
        let monitored = paths.iter().map(ActivePath::monitored).collect();
        let monitor =
            ServerMonitor::new((self.servers, self.stack), monitored, self.clock, metrics);
        let phases = Phases {
            context: *self,
            trial,
            faults: FaultRunner::new(*self, paths.len()),
            paths,
            seen: monitor.status(),
            lag_peaks: monitor.lag_peaks(),
        };
        let mut outcome = monitor.during(self.run_phases(trial, phases)).await;
        if let Ok(outcome) = &mut outcome {
            for path in &mut outcome.paths {
                path.most_lag = monitor.most_lag(path.route.path);
                for (source, shard) in path.route.sources.iter().zip(&mut path.shards) {
                    let slot = source.slot.as_ref();
                    shard.most_wal_held = slot.and_then(|slot| monitor.most_held(slot));
                }
            }
            outcome.checkpoints = monitor.checkpoints();
            outcome.silences = monitor.silences();
            outcome.footprint = monitor.footprint();
        }
        if let Some(metrics) = metrics {
            metrics.end_tracking();
        }
        outcome
    }

    async fn run_phases(
        &self,
        trial: &Trial,
        mut phases: Phases<'_>,
    ) -> Result<TrialOutcome, Failure> {
        let is_under_way = self.distributed.is_some_and(Coordinator::has_begun);
        let mut warmup_events = 0;
        if !is_under_way {
            let step = "first event through";
            self.progress.begin(step);
            let report_sent = |sent: u64| {
                let detail = format!("{sent} sent, none through on every path yet");
                self.progress.update(step, &detail);
            };
            phases.probe(&report_sent).await?;
            self.progress.end(step, "every path has caught up");
            warmup_events = phases.warm_up().await?;
            if trial.settles_connect {
                self.clocks.settle_connect().await;
            }
        }
        let before = self.read_marks(&phases.paths).await?;
        let postgres = &self.servers.postgres;
        let began = UsageSample::take(self.stack, postgres).await;
        let idle = CpuSample::take(self.stack, postgres).await;
        let load = phases.load().await?;
        let lags = slot_lags(postgres).await;
        let drained = phases.drain().await?;
        phases.faults.wait_for_servers().await?;
        let renewed = renewed_postgres(self.servers).await?;
        let postgres = renewed.as_ref().unwrap_or(postgres);
        let worked = CpuSample::take(self.stack, postgres).await;
        let resource_usage = UsageSample::take(self.stack, postgres).await;
        let resource_usage = resource_usage.since(&began);
        let after = self.read_marks(&phases.paths).await?;
        let processes: Vec<_> = phases.paths.iter().map(ActivePath::processes).collect();
        let (mut by_path, mut shared) = worked.since(&idle, &processes);
        if let [alone] = &mut by_path[..] {
            add_used(alone, std::mem::take(&mut shared));
        }
        let mut outcomes = Vec::new();
        let marks = before.into_iter().zip(after);
        let measured = drained.into_iter().zip(by_path).zip(marks);
        for (path, ((drained, used), (before, mut after))) in phases.paths.into_iter().zip(measured)
        {
            let in_kafka = self.records_in_kafka(&path, &before, &after).await?;
            let observer = path.observer;
            let in_snapshot = self.is_in_snapshot(&path.route).await;
            let captured = path.workers.captured();
            let connector_restarts = path.workers.stop(&observer).await?;
            let is_observed = observer.joiner.is_observed();
            let shards = path.route.sources.iter().zip(captured);
            let shards = shards.map(|(source, captured)| ShardOutcome {
                captured: is_observed.then_some(captured),
                walsender: source
                    .slot
                    .as_ref()
                    .and_then(|slot| worked.walsender(&idle, slot)),
                most_wal_held: None,
            });
            let shards = shards.collect();
            let slots = path.route.slots();
            let path_lag = slots.filter_map(|slot| lags.get(slot).copied()).max();
            outcomes.push(PathOutcome {
                route: path.route,
                tally: observer.tally(),
                in_kafka,
                dead_letters: observer.dead_letters.load(Ordering::Relaxed),
                dead_letters_by_reason: observer.dead_letters_by_reason(),
                dead_letter_topic: (!self.stack.exclusive())
                    .then(|| run_topic_name(&self.request.id)),
                connector_restarts,
                drained,
                used,
                rebalances: after.rebalances.split_off(before.rebalances.len()),
                slot_lag: path_lag,
                most_lag: BTreeMap::new(),
                in_snapshot,
                unwritten: observer.joiner.unwritten(),
                shards,
                reordered: observer.reordered(),
            });
        }
        let (faults, faults_not_made) = phases.faults.into_outcome();
        Ok(TrialOutcome {
            faults,
            faults_not_made,
            paths: outcomes,
            load,
            warmup_events,
            shared,
            resource_usage,
            checkpoints: Vec::new(),
            silences: Vec::new(),
            footprint: Vec::new(),
        })
    }

    /// Whether a connector is taking a snapshot; false if Connect does not say.
    async fn is_in_snapshot(&self, route: &Route) -> bool {
        let Some(connect) = &self.servers.connect else {
            return false;
        };
        for connector in route.connectors() {
            match connect.is_in_snapshot(&connector.name).await {
                Ok(false) => {}
                Ok(true) => return true,
                Err(error) => tracing::debug!(%error, "whether there is a snapshot is not known"),
            }
        }
        false
    }

    /// Records of the path's events that came into its topics between two moments.
    async fn records_in_kafka(
        &self,
        path: &ActivePath,
        before: &PathMark,
        after: &PathMark,
    ) -> Result<u64, Failure> {
        if path.route.kafka().is_none() {
            return Ok(0);
        }
        let sum = |mark: &PathMark| mark.ends.iter().flat_map(BTreeMap::values).sum::<i64>();
        let foreign = after.foreign - before.foreign;
        let offsets = u64::try_from(sum(after) - sum(before)).unwrap_or(0);
        let tally = path.observer.tally();
        if self.distributed.is_some_and(Coordinator::is_taken_up) {
            // Where the topic stood before the load is not known any more.
            return Ok(tally.consumed + tally.duplicates);
        }
        if offsets == tally.consumed + tally.duplicates + foreign {
            return Ok(offsets - foreign);
        }
        // Some may be no records, but the ends of transactions, or of those that were aborted.
        let config = &self.servers.kafka_config;
        let mut records = 0;
        for (kafka, from) in path.route.in_kafka().zip(&before.ends) {
            records += count_records(config, &kafka.topic, &kafka.group, from.clone()).await?;
        }
        Ok(records.saturating_sub(foreign))
    }

    /// Topic offsets and counters of each path at this moment.
    async fn read_marks(&self, paths: &[ActivePath]) -> Result<Vec<PathMark>, Failure> {
        let mut marks = Vec::new();
        for path in paths {
            let admin = &self.servers.kafka;
            let mut ends = Vec::new();
            for kafka in path.route.in_kafka() {
                ends.push(admin.end_offsets(&kafka.topic, kafka.partitions).await?);
            }
            marks.push(PathMark {
                ends,
                foreign: path.observer.foreign.load(Ordering::Relaxed),
                rebalances: path.workers.rebalances(),
            });
        }
        Ok(marks)
    }
}

/// Topic offsets and counters of a path at one moment.
struct PathMark {
    /// The end of each partition of each of its topics.
    ends: Vec<BTreeMap<i32, i64>>,
    /// Records of other runs received so far.
    foreign: u64,
    /// Rebalances of its consumer group so far.
    rebalances: Vec<Rebalance>,
}
