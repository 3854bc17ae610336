//! A worker's part of a test, from the plan to its result.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench_model::event::Generator;
use cdc_bench_model::report::{RecorderHandle, ResultFolder};
use cdc_bench_model::timeline::{CapturePath, Clock, Joiner};
use tokio_util::sync::CancellationToken;

use crate::broker::MemberSession;
use crate::consumer::DeadLetterTopic;
use crate::load::{LoadPlan, LoadShare, LoadSummary, run_load};
use crate::pipeline::commands::worker::heartbeats::{Standing, WorkedPath};
use crate::pipeline::commands::worker::recording::Recording;
use crate::pipeline::commands::worker::request::{Worked, WorkerRequest};
use crate::pipeline::commands::worker::share_load::ShareLoad;
use crate::pipeline::commands::worker::stamp_intake::StampIntake;
use crate::pipeline::distributed::control_record::{
    ControlRecord, LoadOrder, TestPlan, WorkerPhase, WorkerRole,
};
use crate::pipeline::distributed::control_topic::ControlTopic;
use crate::pipeline::distributed::result_parts::WorkerResult;
use crate::pipeline::distributed::share::partition_of_row;
use crate::pipeline::distributed::stamp_sender::StampSender;
use crate::pipeline::failure::Failure;
use crate::pipeline::progress::RunProgress;
use crate::pipeline::provision::dead_letter_topic::PublishedDeadLetters;
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::request::{RunNames, RunRequest};
use crate::pipeline::run::clocks::Clocks;
use crate::pipeline::run::links::Links;
use crate::pipeline::run::observer::{PathObserver, SharedStamps, WarmUpStamps};
use crate::pipeline::run::workers::{Here, WorkerSetup, Workers};
use crate::settings::Settings;

/// Between two looks at how the test stands.
const TICK: Duration = Duration::from_millis(50);

/// What a worker takes part with.
#[derive(Clone, Copy)]
pub(super) struct TakingPart<'a> {
    pub(super) request: &'a WorkerRequest,
    pub(super) settings: &'a Settings,
    pub(super) servers: &'a ServerClients,
    pub(super) control: &'a ControlTopic,
    pub(super) standing: &'a Standing,
    pub(super) clock: Clock,
    pub(super) progress: &'a dyn RunProgress,
    pub(super) step: &'a str,
}

/// A path of the run as this worker works on it.
struct PartOfPath {
    route: Route,
    observer: Arc<PathObserver>,
    dead_letters: Option<Arc<dyn DeadLetterTopic>>,
    workers: Workers,
}

impl TakingPart<'_> {
    /// Does this worker's share of the plan.
    pub(super) async fn run(self, plan: TestPlan) -> Result<Worked, Failure> {
        let (servers, worker) = (self.servers, &self.request.name);
        let id = plan.parameters.id.clone();
        let epoch = plan.parameters.epoch;
        let folder = ResultFolder::create(&self.request.results, &format!("{id}-{worker}"))?;
        let limit = plan.parameters.limit();
        let parameters = plan.parameters.clone();
        let run = parameters.request(folder.clone(), self.settings.clone(), (None, limit))?;
        self.progress
            .update(self.step, &format!("run {id}: measuring clocks"));
        let shares_clock = plan.connect_shares_clock;
        let clocks = Clocks::start(servers, &plan.clock_topic, shares_clock, self.clock).await?;
        let foreign = Arc::clone(&clocks.foreign);
        self.standing
            .set(|state| state.clocks = Some((self.clock, Arc::clone(&foreign))));
        let shared = SharedStamps {
            sender: Arc::new(StampSender::new(plan.partitions)),
            partitions: plan.partitions,
        };
        let delivery = shared.sender.deliver(
            &servers.kafka_config,
            plan.stamps_topic.clone(),
            worker.clone(),
            self.clock,
            Arc::clone(&foreign),
        )?;
        let recording = Recording::start(&folder, &run.paths)?;
        let links = Links::default();
        let mut paths = Vec::new();
        for planned in plan.routes.clone() {
            let recorder = recording.handle(planned.path);
            let route = Route::planned(planned, &servers.store);
            let path = self.start_path(&run, route, &links, (&clocks, &shared), recorder);
            paths.push(path.await?);
        }
        let intake = paths.iter().map(|path| Arc::clone(&path.observer));
        let kafka = &servers.kafka_config;
        let intake = StampIntake::start(kafka, &plan.stamps_topic, worker, intake, &foreign)?;
        self.standing.set(|state| {
            let worked = paths.iter().map(|path| WorkedPath {
                total: recording.total(path.route.path),
                partitions: Mutex::default(),
                path: path.route.path,
                observer: Arc::clone(&path.observer),
                backlog: path.workers.backlog.clone(),
            });
            state.paths = worked.collect();
        });
        self.standing.reach(WorkerPhase::Ready);
        let load = |order: LoadOrder, stop: CancellationToken| {
            self.load(
                &run,
                order,
                (plan.partitions, epoch),
                &shared,
                &foreign,
                stop,
            )
        };
        let intake = self
            .until_collected(&mut paths, (&run, &links), intake, load)
            .await?;
        for path in paths {
            path.workers.stop(&path.observer).await?;
        }
        delivery.stop().await;
        intake.stop().await;
        let recordings = recording.finish().await?;
        // From here on the end of the test is not its failure.
        self.standing.reach(WorkerPhase::Collected);
        for part in (WorkerResult { recordings }).parts(worker)? {
            self.control.say(&ControlRecord::Result(part)).await?;
        }
        clocks.stop().await?;
        let (inserted, written) = self.standing.read(|state| {
            let written = state.paths.iter().map(|path| path.observer.tally().written);
            (state.load.inserted, written.sum())
        });
        Ok(Worked {
            worker: worker.clone(),
            run: id,
            inserted,
            written,
            folder: folder.path().to_owned(),
        })
    }

    async fn start_path(
        &self,
        run: &RunRequest,
        route: Route,
        links: &Links,
        (clocks, shared): (&Clocks, &SharedStamps),
        recorder: RecorderHandle,
    ) -> Result<PartOfPath, Failure> {
        let kafka = route.kafka();
        let in_kafka = route
            .path
            .in_kafka(kafka.is_some_and(|kafka| kafka.log_append_time));
        let is_observed = run.observer || route.path != CapturePath::Debezium;
        let joiner = || {
            let joiner = Joiner::new(in_kafka, Arc::clone(&clocks.foreign));
            if is_observed {
                joiner
            } else {
                joiner.unobserved()
            }
        };
        let observer = PathObserver::new(
            route.path,
            RunNames::for_run(&run.id, 1),
            joiner(),
            WarmUpStamps::new(joiner(), |_| {}),
            recorder,
            None,
        );
        let observer = observer
            .with_partitions(route.partitions())
            .with_shared(Some(shared.clone()));
        let observer = Arc::new(observer);
        let source = kafka.map(|kafka| &*kafka.topic);
        let dead_letters =
            PublishedDeadLetters::of_run(&run.id, &self.servers.endpoints, source) as Arc<_>;
        let dead_letters = Some(dead_letters);
        let here = if self.request.roles.contains(&WorkerRole::Consume) {
            Here::Consumer
        } else {
            Here::Nothing
        };
        let setup = self.setup(run, links, (&route, &observer, &dead_letters), here);
        let workers = Workers::start(setup).await?;
        Ok(PartOfPath {
            route,
            observer,
            dead_letters,
            workers,
        })
    }

    fn setup<'b>(
        &'b self,
        request: &'b RunRequest,
        links: &'b Links,
        (route, observer, dead_letters): (
            &'b Route,
            &'b Arc<PathObserver>,
            &'b Option<Arc<dyn DeadLetterTopic>>,
        ),
        here: Here,
    ) -> WorkerSetup<'b> {
        WorkerSetup {
            request,
            servers: self.servers,
            links,
            route,
            observer,
            here,
            // Others take over soon what a worker leaves.
            session: MemberSession::Short,
            dead_letters,
            clock: self.clock,
        }
    }

    /// Consumes, captures and loads as it is told to, until the results are collected.
    async fn until_collected<L: Future<Output = Result<LoadSummary, Failure>>>(
        &self,
        paths: &mut [PartOfPath],
        (run, links): (&RunRequest, &Links),
        mut intake: StampIntake,
        load: impl Fn(LoadOrder, CancellationToken) -> L,
    ) -> Result<StampIntake, Failure> {
        let mut captures = false;
        let mut loading = None;
        let mut is_loaded = false;
        let stop = CancellationToken::new();
        let _stops = stop.clone().drop_guard();
        loop {
            let (order, captor, collects) = self
                .control
                .read(|state| (state.load.clone(), state.captures.clone(), state.collects));
            let is_captor = captor.as_deref() == Some(&*self.request.name);
            if is_captor != captures {
                captures = is_captor;
                for path in &mut *paths {
                    let of_path = (&path.route, &path.observer, &path.dead_letters);
                    let setup = self.setup(run, links, of_path, Here::All);
                    path.workers.capture(setup, captures).await?;
                }
                self.standing.set(|state| state.captures = captures);
            }
            let owned = self.standing.read(|state| {
                let partitions = state.paths.iter().map(WorkedPath::partitions);
                partitions.collect::<Vec<_>>()
            });
            intake.follow(&owned);
            if let Some(order) = order
                && loading.is_none()
                && !is_loaded
            {
                intake.begin();
                self.standing.reach(WorkerPhase::Loading);
                self.progress.update(self.step, "loading");
                loading = Some(Box::pin(load(order, stop.clone())));
            }
            if collects && loading.is_none() {
                return Ok(intake);
            }
            for path in &mut *paths {
                let checked = path.workers.check().await;
                checked.map_err(|failure| {
                    failure.context(format!("capture path {}", path.route.path))
                })?;
            }
            self.tell();
            match &mut loading {
                Some(load) => {
                    tokio::select! {
                        summary = load => {
                            let summary = summary?;
                            loading = None;
                            is_loaded = true;
                            self.standing.set(|state| state.load = summary);
                            self.standing.reach(WorkerPhase::Loaded);
                        }
                        () = tokio::time::sleep(TICK) => {}
                    }
                }
                None => tokio::time::sleep(TICK).await,
            }
        }
    }

    fn tell(&self) {
        let detail = self.standing.read(|state| {
            let partitions = state.paths.first().map(|path| path.partitions().len());
            let written = state.paths.iter().map(|path| path.observer.tally().written);
            format!(
                "{} inserted, {} written, {} partitions{}",
                state.load.inserted,
                written.sum::<u64>(),
                partitions.unwrap_or(0),
                if state.captures {
                    ", reads the WAL"
                } else {
                    ""
                }
            )
        });
        self.progress.update(self.step, &detail);
    }

    /// Inserts this worker's share of the events.
    async fn load(
        &self,
        run: &RunRequest,
        order: LoadOrder,
        (partitions, epoch): (i32, jiff::Timestamp),
        shared: &SharedStamps,
        foreign: &cdc_bench_model::timeline::ForeignClocks,
        stop: CancellationToken,
    ) -> Result<LoadSummary, Failure> {
        let (me, loaders) = (self.request.name.clone(), order.loaders);
        if !loaders.contains(&me) {
            return Ok(LoadSummary::default());
        }
        let is_own = move |row: &cdc_bench_model::event::OutboxRow| {
            let partition = usize::try_from(partition_of_row(row, partitions));
            partition.is_ok_and(|partition| loaders.get(partition) == Some(&me))
        };
        let rows = Generator::new(run.seed, epoch).with_hot_share(run.hot_share);
        let plan = LoadPlan {
            endpoint: &self.servers.endpoints.postgres,
            run_id: RunNames::for_run(&run.id, 1).measured,
            rows: rows.filter(is_own),
            control: run.rate.into(),
            limit: run.limit,
            insert_batch: run.insert_batch,
            connections: run.connections,
            shards: run.shards,
            share: Some(LoadShare {
                begins: foreign.corrections().postgres.to_ours(order.begins),
                first_seq: 0,
            }),
        };
        let observer = ShareLoad::new(shared.clone(), self.standing.clone());
        Ok(run_load(plan, self.clock, observer, stop).await?)
    }
}
