//! The coordinator's side of a test: it waits for its workers, tells them what to do and when, and adds up what they count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cdc_bench_model::RunId;
use cdc_bench_model::report::{PathRecording, WorkerReport};
use cdc_bench_model::timeline::{CapturePath, Nanos, Stamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::load::LoadSummary;
use crate::pipeline::distributed::control_record::{
    ControlRecord, LoadOrder, PlannedRoute, TestPlan, WorkerCounts, WorkerOffer, WorkerPhase,
    WorkerRole,
};
use crate::pipeline::distributed::control_topic::{ControlTopic, control_topic, stamps_topic};
use crate::pipeline::distributed::heartbeat_sums::{owners, owners_by_path, worker_report};
use crate::pipeline::distributed::result_parts::WorkerResult;
use crate::pipeline::distributed::share::loaders;
use crate::pipeline::distributed::test_state::TestState;
use crate::pipeline::distributed::worker_clock::WorkerClock;
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::progress::RunProgress;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::request::DistributedRequest;

/// Between two signs of its life.
const LIFE_SIGN: Duration = Duration::from_secs(1);
/// Between two looks at how the test stands.
const TICK: Duration = Duration::from_millis(100);
/// A worker that says nothing for so long is not waited for; its group has given its partitions to others by then.
const GONE: Duration = Duration::from_secs(45);
/// Another worker reads the WAL when the one that does has said nothing for so long.
const CAPTURE_GONE: Duration = Duration::from_secs(15);
/// Longest wait for workers to get ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// For so long the stamps of events that are written may fail to come before they are not waited for.
const STAMPS_GONE: Duration = Duration::from_secs(5);
/// Longest wait for the results once all events are through.
const COLLECT_LIMIT: Duration = Duration::from_secs(120);
/// Longest wait for workers to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// For how long ownership of the partitions must have been the same.
const SETTLED: Duration = Duration::from_secs(1);

/// The coordinator of a test.
pub(crate) struct Coordinator {
    control: Arc<ControlTopic>,
    request: DistributedRequest,
    /// Says that it is there.
    life_signs: JoinHandle<()>,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.life_signs.abort();
    }
}

impl Coordinator {
    /// Creates the test's topics, as this run's, and reads what is said.
    ///
    /// # Errors
    /// When there is a test of this name already, or the broker refuses.
    pub(crate) async fn open(
        servers: &ServerClients,
        run: &RunId,
        request: &DistributedRequest,
        partitions: i32,
    ) -> Result<Self, Failure> {
        let test = &request.test;
        if request.is_taken_up {
            let joined = Self::join(servers, request)?;
            let began = Instant::now();
            while joined.control.read(|state| state.plan.is_none()) {
                if began.elapsed() > READY_LIMIT {
                    return Err(Failure::server(anyhow::anyhow!(
                        "the plan of test {test} was not read within {} s",
                        READY_LIMIT.as_secs()
                    )));
                }
                tokio::time::sleep(TICK).await;
            }
            return Ok(joined);
        }
        let topics = [control_topic(test), stamps_topic(test)];
        for topic in &topics {
            let (kind, registry) = (ResourceKind::Topic, &servers.registry);
            if servers.kafka.topic(topic).await?.is_some() {
                return Err(Failure::usage(anyhow::anyhow!(
                    "there is a test {test} already (topic {topic}): it is under way, or its coordinator was killed before it had its workers; \"cdc-bench cleanup --orphans\" removes what a dead one left, --test takes another name"
                )));
            }
            registry.record(kind, topic, Some(run)).await?;
        }
        ControlTopic::create(&servers.kafka, test).await?;
        servers.kafka.create_topic(&topics[1], partitions).await?;
        Self::join(servers, request)
    }

    fn join(servers: &ServerClients, request: &DistributedRequest) -> Result<Self, Failure> {
        let control = ControlTopic::join(&servers.kafka_config, &request.test)?;
        let control = Arc::new(control);
        let said = Arc::clone(&control);
        let life_signs = tokio::spawn(async move {
            for number in 0.. {
                // The next one says the same.
                if let Err(failure) = said.say(&ControlRecord::Alive { number }).await {
                    tracing::warn!(%failure, "the workers do not hear of their coordinator");
                }
                tokio::time::sleep(LIFE_SIGN).await;
            }
        });
        Ok(Self {
            control,
            request: request.clone(),
            life_signs,
        })
    }

    /// The route of a path of a test that is taken up.
    pub(crate) fn route(&self, path: CapturePath) -> Option<PlannedRoute> {
        let route = self.control.read(|state| state.route(path));
        route.filter(|_| self.request.is_taken_up)
    }

    /// Whether the test was under way before.
    pub(crate) fn is_taken_up(&self) -> bool {
        self.request.is_taken_up
    }

    /// Whether the measured load has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.control.read(|state| state.load.is_some())
    }

    /// Waits for as many workers as the test has. Their names.
    ///
    /// # Errors
    /// When the user asks to stop.
    pub(crate) async fn wait_for_workers(
        &self,
        step: &str,
        progress: &dyn RunProgress,
        cancel: &CancellationToken,
    ) -> Result<BTreeSet<String>, Failure> {
        loop {
            let offers = self.control.read(|state| {
                let is_there = |offer: &&WorkerOffer| {
                    let beat = state.heartbeat(&offer.worker);
                    beat.is_some_and(|(since, beat)| {
                        since < CAPTURE_GONE && beat.phase != WorkerPhase::Left
                    })
                };
                let there = state.offers.values().filter(is_there);
                there.cloned().collect::<Vec<_>>()
            });
            let missing = self.missing(&offers);
            if missing.is_empty() {
                return Ok(offers.into_iter().map(|offer| offer.worker).collect());
            }
            let detail = format!(
                "{} of {} are there; {missing} (cdc-bench worker --test {})",
                offers.len(),
                self.request.workers,
                self.request.test
            );
            progress.update(step, &detail);
            self.pause(cancel).await?;
        }
    }

    /// What is missing before the test can begin, in words; empty if nothing is.
    fn missing(&self, offers: &[WorkerOffer]) -> String {
        let with = |role| {
            let of_role = offers.iter().filter(|offer| offer.roles.contains(&role));
            of_role.count()
        };
        let lacks = [
            (self.request.workers, offers.len(), "more"),
            (self.request.min_load, with(WorkerRole::Load), "that load"),
            (1, with(WorkerRole::Consume), "that consumes"),
            (1, with(WorkerRole::Capture), "that captures"),
        ];
        let lacks = lacks
            .into_iter()
            .filter(|(wanted, there, _)| there < wanted);
        let words = lacks.map(|(wanted, there, what)| format!("{} {what}", wanted - there));
        let words = words.collect::<Vec<_>>().join(", ");
        if words.is_empty() {
            words
        } else {
            format!("waiting for {words}")
        }
    }

    /// Tells the workers what the test is, and waits until each is ready and every partition has its consumer.
    ///
    /// # Errors
    /// When a worker fails, or is not ready in time.
    pub(crate) async fn begin(
        &self,
        plan: TestPlan,
        detail: &(dyn Fn(&str) + Sync),
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let partitions = plan.partitions;
        self.control
            .say(&ControlRecord::Plan(Box::new(plan)))
            .await?;
        // It is read back as everybody reads it.
        while self.control.read(|state| state.plan.is_none()) {
            self.pause(cancel).await?;
        }
        self.let_another_capture(&BTreeSet::new()).await?;
        let consuming = self.with_role(WorkerRole::Consume).len();
        let began = Instant::now();
        let mut settled: Option<(Instant, Vec<BTreeMap<i32, String>>)> = None;
        loop {
            self.check().await?;
            let (waiting, owners) = self.control.read(|state| {
                let names = state.plan.iter().flat_map(|plan| plan.workers.iter());
                let is_waiting = |worker: &&String| {
                    let beat = state.heartbeat(worker);
                    beat.is_none_or(|(_, beat)| beat.phase < WorkerPhase::Ready)
                };
                let waiting: Vec<_> = names.filter(is_waiting).cloned().collect();
                (waiting, owners_by_path(state))
            });
            let count = usize::try_from(partitions).unwrap_or(0);
            let has_all = |owners: &BTreeMap<i32, String>| {
                // Who joins the group later has none at first.
                let owning: BTreeSet<_> = owners.values().collect();
                owners.len() == count && owning.len() >= consuming.min(count)
            };
            let is_whole = waiting.is_empty() && owners.iter().all(has_all);
            match &settled {
                Some((since, before)) if is_whole && *before == owners => {
                    if since.elapsed() >= SETTLED {
                        return Ok(());
                    }
                }
                _ => settled = is_whole.then(|| (Instant::now(), owners.clone())),
            }
            if began.elapsed() > READY_LIMIT {
                let what = if waiting.is_empty() {
                    let of = |worker: &String| {
                        let owned = owners.iter().flat_map(BTreeMap::values);
                        let owned = owned.filter(|owner| *owner == worker);
                        format!("{worker} {}", owned.count())
                    };
                    let shares: Vec<_> = self.workers().iter().map(of).collect();
                    format!(
                        "of {partitions} partitions of each path each has: {}",
                        shares.join(", ")
                    )
                } else {
                    format!("not ready: {}", waiting.join(", "))
                };
                return Err(Failure::server(anyhow::anyhow!(
                    "the workers were not ready within {} s: {what}",
                    READY_LIMIT.as_secs()
                )));
            }
            detail("waiting until every worker is ready");
            self.pause(cancel).await?;
        }
    }

    /// Lets the workers insert their shares, from this instant of PostgreSQL's clock on; until all of them have.
    ///
    /// # Errors
    /// When a worker fails.
    pub(crate) async fn load(
        &self,
        begins: Stamp,
        cancel: &CancellationToken,
    ) -> Result<LoadSummary, Failure> {
        let loading = self.with_role(WorkerRole::Load);
        let partitions = self
            .control
            .read(|state| state.plan.as_ref().map(|plan| plan.partitions));
        let partitions = partitions.unwrap_or(0);
        let consumers = self.control.read(|state| owners(state.heartbeats()));
        let order = LoadOrder {
            begins,
            loaders: loaders(partitions, &consumers, &loading),
        };
        let begun = self.control.read(|state| state.load.clone());
        let loaders = begun.as_ref().unwrap_or(&order).loaders.iter();
        let loading: BTreeSet<_> = loaders.cloned().collect();
        // One that is taken up has it already.
        if !self.has_begun() {
            self.control.say(&ControlRecord::Load(order)).await?;
        }
        loop {
            self.pause(cancel).await?;
            let is_over = self.control.read(|state| {
                loading.iter().all(|worker| match state.heartbeat(worker) {
                    Some((since, beat)) => beat.phase >= WorkerPhase::Loaded || since > GONE,
                    None => true,
                })
            });
            if is_over {
                return Ok(self.load_so_far());
            }
        }
    }

    fn load_so_far(&self) -> LoadSummary {
        self.control.read(|state| {
            let mut sum = LoadSummary::default();
            state.heartbeats().for_each(|beat| sum.add(&beat.load));
            sum
        })
    }

    fn with_role(&self, role: WorkerRole) -> BTreeSet<String> {
        self.control.read(|state| {
            let mut names = state.workers();
            names.retain(|worker| {
                let offer = state.offers.get(worker);
                offer.is_some_and(|offer| offer.roles.contains(&role))
            });
            names
        })
    }

    /// What all workers together have counted on a path.
    pub(crate) fn counts(&self, path: CapturePath) -> WorkerCounts {
        let mut sum = self.control.read(|state| {
            let mut sum = WorkerCounts::default();
            for beat in state.heartbeats() {
                if let Some(counts) = beat.paths.get(&path) {
                    sum.add(counts);
                }
            }
            sum
        });
        // Who follows an event has heard of its INSERT some milliseconds later than who made it.
        let load = self.load_so_far();
        sum.tally.sent = load.inserted + load.errors;
        (sum.tally.inserted, sum.tally.insert_errors) = (load.inserted, load.errors);
        sum
    }

    /// Whether the workers can go on; lets another one capture where the one that does is gone.
    ///
    /// # Errors
    /// When a worker has failed, or none is left.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        let (failed, gone, all, silent) = self.control.read(|state| {
            let failed = state.heartbeats().find_map(|beat| {
                let failure = beat.failure.clone()?;
                Some((beat.worker.clone(), failure))
            });
            let all = state.workers().len();
            (
                failed,
                state.gone(GONE).len(),
                all,
                state.gone(CAPTURE_GONE),
            )
        });
        if let Some((worker, failure)) = failed {
            return Err(Failure::server(anyhow::anyhow!(
                "worker {worker}: {failure}"
            )));
        }
        if all > 0 && gone == all {
            return Err(Failure::server(anyhow::anyhow!(
                "no worker has said anything for {} s",
                GONE.as_secs()
            )));
        }
        let captures = self.control.read(|state| state.captures.clone());
        if captures.is_some_and(|worker| silent.contains(&worker)) {
            self.let_another_capture(&silent).await?;
        }
        Ok(())
    }

    async fn let_another_capture(&self, but: &BTreeSet<String>) -> Result<(), Failure> {
        let able = self.with_role(WorkerRole::Capture);
        match able.difference(but).next().cloned() {
            Some(worker) => {
                tracing::info!(worker, "reads the WAL");
                self.control.say(&ControlRecord::Capture { worker }).await
            }
            None => Err(Failure::server(anyhow::anyhow!(
                "no worker is left that reads the WAL"
            ))),
        }
    }

    /// What the workers have measured, once all events are through. Those that are gone take theirs with them.
    ///
    /// # Errors
    /// When a worker fails, or does not send its result.
    pub(crate) async fn collect(
        &self,
        paths: &[CapturePath],
        cancel: &CancellationToken,
    ) -> Result<Vec<PathRecording>, Failure> {
        self.until_joined(paths, cancel).await?;
        self.control.say(&ControlRecord::Collect).await?;
        let began = Instant::now();
        let mut left = self.workers();
        let mut merged: Vec<_> = paths.iter().map(|path| PathRecording::new(*path)).collect();
        while !left.is_empty() {
            self.pause(cancel).await?;
            let gone = self.control.read(|state| state.gone(GONE));
            for worker in left.clone() {
                let parts = self.control.read(|state| state.result(&worker));
                if let Some(parts) = parts {
                    left.remove(&worker);
                    for recording in WorkerResult::read(&parts)?.recordings {
                        let into = merged.iter_mut().find(|sum| sum.path == recording.path);
                        if let Some(into) = into {
                            into.add(&recording);
                        }
                    }
                } else if gone.contains(&worker) {
                    tracing::warn!(worker, "is gone, and what it has measured with it");
                    left.remove(&worker);
                }
            }
            if began.elapsed() > COLLECT_LIMIT {
                let names: Vec<_> = left.iter().map(String::as_str).collect();
                return Err(Failure::new(
                    exit::SERVER,
                    anyhow::anyhow!("no result came from {}", names.join(", ")),
                ));
            }
        }
        Ok(merged)
    }

    /// Waits until the stamps of what is written have reached the workers that follow it. An event whose partition went from one
    /// worker to another may never have all of them.
    async fn until_joined(
        &self,
        paths: &[CapturePath],
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut last = (0, Instant::now());
        loop {
            let counts: Vec<_> = paths.iter().map(|path| self.counts(*path)).collect();
            let joined = counts.iter().map(|of| of.joined).sum();
            let written: u64 = counts.iter().map(|of| of.tally.written).sum();
            if joined != last.0 {
                last = (joined, Instant::now());
            }
            if joined >= written || last.1.elapsed() > STAMPS_GONE {
                return Ok(());
            }
            self.pause(cancel).await?;
        }
    }

    fn workers(&self) -> BTreeSet<String> {
        self.control.read(TestState::workers)
    }

    /// The workers as the report has them.
    pub(crate) fn report(&self) -> Vec<WorkerReport> {
        let workers = self.workers();
        self.control.read(|state| {
            let of = |worker: &String| {
                let (offer, beat) = (state.offers.get(worker)?, state.heartbeat(worker));
                let mut report = worker_report(offer, beat.map(|(_, beat)| beat));
                report.is_gone = state.result(worker).is_none();
                report.silences = state.silences(worker).to_vec();
                Some(report)
            };
            workers.iter().filter_map(of).collect()
        })
    }

    /// The largest errors of spans between the clocks of two workers, and of those between an event's INSERT and its document:
    /// none where the worker that inserted it also wrote it.
    pub(crate) fn bounds(&self) -> (Nanos, Nanos) {
        self.control.read(|state| {
            let clocks: Vec<_> = state.heartbeats().map(|beat| beat.clock).collect();
            let any = WorkerClock::most_apart(&clocks);
            let consumers = owners(state.heartbeats());
            let loaders = state.load.iter().flat_map(|order| &order.loaders);
            let is_own = (0..)
                .zip(loaders)
                .all(|(partition, loader)| consumers.get(&partition) == Some(loader));
            (any, if is_own { Nanos(0) } else { any })
        })
    }

    /// Lets the workers end, and waits a moment for them to.
    pub(crate) async fn end(self, reason: Option<String>) {
        let ended = tokio::time::timeout(LEAVE_LIMIT, async {
            self.control.say(&ControlRecord::End { reason }).await?;
            let workers = self.workers();
            let has_left = |state: &TestState, worker: &String| {
                let beat = state.heartbeat(worker);
                beat.is_none_or(|(since, beat)| beat.phase == WorkerPhase::Left || since > GONE)
            };
            let are_here =
                |state: &TestState| !workers.iter().all(|worker| has_left(state, worker));
            while self.control.read(are_here) {
                tokio::time::sleep(TICK).await;
            }
            Ok::<_, Failure>(())
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::warn!(%failure, "the workers were not told that the test is over");
            }
            Err(_) => tracing::warn!(
                "not every worker has said within {} s that it ends",
                LEAVE_LIMIT.as_secs()
            ),
        }
    }

    async fn pause(&self, cancel: &CancellationToken) -> Result<(), Failure> {
        tokio::select! {
            () = cancel.cancelled() => Err(Failure::interrupted()),
            () = self.control.changed() => Ok(()),
            () = tokio::time::sleep(TICK) => Ok(()),
        }
    }
}
