//! The main job: bring up, set up, warm up, load, follow, drain, verify, report, clean up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::capture::{self, Capture};
use super::clocks::{self, Measured};
use super::consume::{KafkaSource, stage_config};
use super::environment::Surroundings;
use super::observer::{MeasuredLoad, ProbeLoad, RunNames, RunObserver, WarmupLoad};
use super::summary::{self, Facts};
use super::{CaptureRequest, Failure, Kind, LoadState, RunProgress, Servers, clean_up, exit};
use crate::analysis::Targets;
use crate::broker::{Records, RecordsConfig};
use crate::config::{RunId, Settings};
use crate::consumer::{DeadLetters, Stage, StageEnd, StageError};
use crate::event::Generator;
use crate::load::{Limit, LoadPlan, LoadSummary, Rate, run_load};
use crate::report::{Recorder, Recording, Report, ResultFolder};
use crate::stack::{Stack, StackKind};
use crate::store::{Scope, verify};
use crate::timeline::{Captured, Clock, Corrections, Joiner};
use crate::wal::{OutboxTable, Reader, ReaderConfig, ReaderError, ReaderHandle, Slot, SlotName};

/// The one capture path of this release.
const PATH: &str = "debezium";
/// Longest wait for the first event to come through a connector that is RUNNING.
const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// Between two readiness probes.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How often the state of the load is looked at.
const TICK: Duration = Duration::from_millis(100);

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Name of the run.
    pub id: RunId,
    /// Endpoints and what else comes from the environment.
    pub settings: Settings,
    /// How much is measured.
    pub limit: Limit,
    /// How fast.
    pub rate: Rate,
    /// Rows a transaction.
    pub insert_batch: usize,
    /// Connections of the load generator.
    pub connections: usize,
    /// Events before the measured ones.
    pub warmup: u64,
    /// Seed of the events.
    pub seed: u64,
    /// Which connector.
    pub capture: CaptureRequest,
    /// What has to be reached.
    pub targets: Targets,
    /// Longest time without an event coming through before the drain gives up.
    pub drain_timeout: Duration,
    /// Folder of the result.
    pub folder: ResultFolder,
}

impl RunRequest {
    fn expected(&self) -> Option<u64> {
        match self.limit {
            Limit::Events(count) => Some(count),
            Limit::Duration(_) => None,
        }
    }
}

/// Does it all. Whatever happens, what the run made on servers is removed and what it started is stopped.
///
/// # Errors
/// When the run has no result; a result that misses its objectives is one.
pub async fn run(
    request: RunRequest,
    progress: &dyn RunProgress,
    cancel: CancellationToken,
) -> Result<Report, Failure> {
    let started_at = jiff::Timestamp::now();
    let stack = Stack::bring_up(&request.settings, progress, &cancel).await?;
    let outcome = on_stack(&request, &stack, started_at, progress, &cancel).await;
    if outcome
        .as_ref()
        .is_err_and(|failure| !failure.is_interrupt())
        && let Some(dir) = stack.log_dir()
    {
        tracing::info!(logs = %dir.display(), "logs of the servers");
    }
    stack.stop(progress);
    outcome
}

async fn on_stack(
    request: &RunRequest,
    stack: &Stack,
    started_at: jiff::Timestamp,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Report, Failure> {
    let servers = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        servers = Servers::connect(stack.endpoints()) => servers?,
    };
    let outcome = tokio::select! {
        () = cancel.cancelled() => Err(Failure::interrupted()),
        outcome = measured(request, stack, &servers, started_at, progress, cancel) => outcome,
    };
    progress.load_over();
    // Servers of our own go away with everything on them.
    if stack.exclusive() {
        return outcome;
    }
    progress.begin("clean-up");
    let removed = clean_up::remove_run(&servers, &request.id).await;
    match (&outcome, removed) {
        (_, Ok(removed)) => progress.end("clean-up", &removed.to_string()),
        (Ok(_), Err(failure)) => return Err(failure),
        (Err(_), Err(failure)) => {
            tracing::error!(%failure, "clean-up failed; \"cdc-bench cleanup\" tries again")
        }
    }
    outcome
}

/// The reader, the consumer and the recorder of one run.
struct Followers {
    reader: ReaderHandle,
    stage: JoinHandle<(KafkaSource, Result<StageEnd, StageError>)>,
    /// Stops the consumer when dropped.
    stop_stage: DropGuard,
    recorder: Recorder,
    connector_watch: capture::Watch,
}

impl Followers {
    /// The reason if one of them has given up.
    async fn check(&mut self) -> Result<(), Failure> {
        if let Some(error) = self.reader.error() {
            return Err(Failure::from(error).context("our WAL reader stopped"));
        }
        if let Some(error) = self.recorder.failure() {
            return Err(error.into());
        }
        if self.stage.is_finished() {
            let (_, end) = (&mut self.stage).await.map_err(|panicked| {
                Failure::new(exit::DATA, panicked).context("the consumer stopped")
            })?;
            return match end {
                Err(error) => Err(Failure::from(error).context("the consumer stopped")),
                Ok(_) => Err(Failure::new(
                    exit::DATA,
                    anyhow::anyhow!("the consumer ended before the events did"),
                )),
            };
        }
        Ok(())
    }
}

async fn measured(
    request: &RunRequest,
    stack: &Stack,
    servers: &Servers,
    started_at: jiff::Timestamp,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Report, Failure> {
    let clock = Clock::start();
    progress.begin("set-up");
    let capture = capture::prepare(
        servers,
        request,
        stack,
        &|detail| progress.update("set-up", detail),
        cancel,
    )
    .await?;
    progress.update("set-up", "measuring clocks");
    let probe_topic = format!("cdc_bench_clock_{}", request.id);
    servers
        .ledger
        .record(Kind::Topic, &probe_topic, Some(&request.id))
        .await?;
    servers.kafka.create_topic(&probe_topic).await?;
    let offsets = clocks::measure(
        &servers.postgres,
        &servers.kafka_config,
        &probe_topic,
        clock,
    )
    .await?;

    progress.update("set-up", "starting reader and consumer");
    let one_host = stack.kind() != StackKind::External;
    let corrections = Corrections {
        postgres: offsets.postgres.offset,
        broker: offsets.broker.offset,
        // Connect's clock has no round trip of its own; on one host it is PostgreSQL's.
        connect: if one_host {
            offsets.postgres.offset
        } else {
            crate::timeline::Nanos(0)
        },
    };
    let recorder = Recorder::start(&request.folder, PATH)?;
    let observer = Arc::new(RunObserver::new(
        RunNames::of(&request.id),
        Joiner::new(corrections),
        recorder.handle(),
    ));
    let mut followers = follow(request, servers, &capture, recorder, &observer, clock).await?;
    progress.end("set-up", &capture.describe());

    progress.begin("first event through");
    probe(request, servers, &observer, &mut followers, clock, cancel).await?;
    progress.end("first event through", "the connector has caught up");
    if request.warmup > 0 {
        warm_up(
            request,
            servers,
            &observer,
            &mut followers,
            clock,
            progress,
            cancel,
        )
        .await?;
    }

    let before = servers
        .kafka
        .end_offsets(&capture.topic, capture.partitions)
        .await?;
    let foreign_before = observer.foreign.load(Ordering::Relaxed);
    let load = load(
        request,
        servers,
        &observer,
        &mut followers,
        clock,
        progress,
        cancel,
    )
    .await?;
    let drained = drain(request, &observer, &mut followers, progress).await?;
    progress.load_over();
    let finished = clock.now();
    let after = servers
        .kafka
        .end_offsets(&capture.topic, capture.partitions)
        .await?;
    let foreign = observer.foreign.load(Ordering::Relaxed) - foreign_before;

    progress.begin("verification");
    let offsets_end = clocks::measure(
        &servers.postgres,
        &servers.kafka_config,
        &probe_topic,
        clock,
    )
    .await;
    let offsets_end = offsets_end
        .inspect_err(|error| tracing::warn!(%error, "clocks could not be measured again"))
        .ok();
    let (recording, connector_restarts) = stop(followers, &observer).await?;
    let verification = verify(
        &servers.postgres,
        &servers.store,
        Scope::Run(request.id.to_string()),
        cancel.clone(),
    )
    .await;
    let verification = verification.map_err(|error| {
        Failure::new(exit::DATA, error).context("comparing PostgreSQL with the store")
    })?;
    progress.end(
        "verification",
        &format!("{} % match", verification.match_percent),
    );

    let surroundings = Surroundings::read(servers, &capture, stack).await;
    let facts = Facts {
        request,
        path: PATH,
        stack: stack.kind(),
        started_at,
        capture: &capture,
        surroundings,
        tally: observer.joiner.tally(),
        in_kafka: (after - before).saturating_sub(foreign),
        dead_letters: observer.dead_letters.load(Ordering::Relaxed),
        load,
        finished,
        drained,
        connector_restarts,
        recording,
        postgres_clock: Measured {
            start: offsets.postgres,
            end: offsets_end.map(|o| o.postgres),
        },
        broker_clock: Measured {
            start: offsets.broker,
            end: offsets_end.map(|o| o.broker),
        },
        connect_shares_clock: one_host,
        verification,
    };
    Ok(summary::report(facts))
}

/// Starts our reader, the recorder and the consumer.
async fn follow(
    request: &RunRequest,
    servers: &Servers,
    capture: &Capture,
    recorder: Recorder,
    observer: &Arc<RunObserver>,
    clock: Clock,
) -> Result<Followers, Failure> {
    let endpoint = &servers.endpoints.postgres;
    let config = ReaderConfig {
        host: endpoint.host.clone(),
        port: endpoint.port,
        user: endpoint.user.clone(),
        password: endpoint.password.clone(),
        database: endpoint.database.clone(),
        publication: capture.publication.clone(),
        // Gone with its connection, whatever happens to us: it can never fill a disk.
        slot: Slot::Temporary(
            SlotName::new(&format!("cdc_bench_reader_{}", request.id.as_identifier()))
                .map_err(ReaderError::from)?,
        ),
        status_interval: Duration::from_secs(1),
    };
    let seen = Arc::clone(observer);
    let mut outbox = OutboxTable::default();
    let reader = Reader::spawn(config, clock, move |change| {
        match outbox.read(&change) {
            Ok(Some(row)) => seen.captured(
                row.run_id,
                row.id,
                row.seq,
                Captured {
                    tc: change.commit_time,
                    t1: change.received,
                    lsn: change.lsn.0,
                    commit_lsn: change.commit_lsn.0,
                    xid: change.xid.0,
                },
            ),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, lsn = %change.lsn, "a row of the outbox could not be read")
            }
        };
    })
    .await?;

    let records = RecordsConfig {
        topic: capture.topic.clone(),
        group: capture.group.clone(),
        from_end: true,
    };
    let records = Records::subscribe(&servers.kafka_config, records, clock).await?;
    let letters = DeadLetters::at(request.folder.file("dead-letters.jsonl"));
    let stage = Stage::new(
        KafkaSource(records),
        servers.store.clone(),
        Arc::clone(observer) as Arc<_>,
        letters,
        stage_config(&capture.topic, &request.settings),
        clock,
    );
    let stop_stage = CancellationToken::new();
    let stage = tokio::spawn(stage.run(stop_stage.clone()));
    let connector_watch = capture::watch(servers, capture);
    Ok(Followers {
        reader,
        stage,
        stop_stage: stop_stage.drop_guard(),
        recorder,
        connector_watch,
    })
}

/// A load of this run.
fn plan<'a>(
    request: &RunRequest,
    servers: &'a Servers,
    run_id: &str,
    rows: Generator,
    limit: Limit,
) -> LoadPlan<'a, Generator> {
    LoadPlan {
        endpoint: &servers.endpoints.postgres,
        run_id: run_id.to_owned(),
        rows,
        rate: request.rate,
        limit,
        insert_batch: request.insert_batch,
        connections: request.connections,
    }
}

/// Seeds of the events that are not measured, so that they differ from those that are.
const PROBE_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const WARMUP_SEED: u64 = 0xbf58_476d_1ce4_e5b9;

fn generator(request: &RunRequest, salt: u64) -> Generator {
    Generator::new(request.seed ^ salt, jiff::Timestamp::now())
}

/// Inserts one row after another until one has come through: only then is the connector known to have caught up.
async fn probe(
    request: &RunRequest,
    servers: &Servers,
    observer: &Arc<RunObserver>,
    followers: &mut Followers,
    clock: Clock,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut rows = generator(request, PROBE_SEED);
    loop {
        let row = rows.next().into_iter();
        let one = LoadPlan {
            endpoint: &servers.endpoints.postgres,
            run_id: observer.names.probe.clone(),
            rows: row,
            rate: Rate::MAX,
            limit: Limit::Events(1),
            insert_batch: 1,
            connections: 1,
        };
        run_load(one, clock, Arc::new(ProbeLoad), cancel.clone()).await?;
        let sent = Instant::now();
        while sent.elapsed() < PROBE_EVERY {
            followers.check().await?;
            if observer.probes_written.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if began.elapsed() > PROBE_LIMIT {
            return Err(Failure::server(anyhow::anyhow!(
                "no event came through within {} s although rows were inserted: is the topic fed by a connector that captures {}.{}?",
                PROBE_LIMIT.as_secs(),
                crate::event::SCHEMA,
                crate::event::TABLE
            )));
        }
    }
}

/// Events that are not measured: every cache, connection and code path gets warm, and what they leave is drained.
async fn warm_up(
    request: &RunRequest,
    servers: &Servers,
    observer: &Arc<RunObserver>,
    followers: &mut Followers,
    clock: Clock,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let run_id = observer.names.warmup.clone();
    let plan = plan(
        request,
        servers,
        &run_id,
        generator(request, WARMUP_SEED),
        Limit::Events(request.warmup),
    );
    let load = run_load(
        plan,
        clock,
        Arc::new(WarmupLoad(Arc::clone(observer))),
        cancel.clone(),
    );
    tokio::pin!(load);
    let mut rate = RateMeter::default();
    let mut inserted = None;
    let mut patience = Patience::new(request.drain_timeout);
    loop {
        tokio::select! {
            summary = &mut load, if inserted.is_none() => inserted = Some(summary?),
            () = tokio::time::sleep(TICK) => {}
        }
        followers.check().await?;
        let written = observer.warmup_written.load(Ordering::Relaxed);
        let acknowledged = observer.warmup_acknowledged.load(Ordering::Relaxed);
        progress.load(&LoadState {
            phase: "warm-up",
            target: Some(request.warmup),
            inserted: acknowledged,
            written,
            written_per_s: rate.read(written),
            p50: None,
            p99: None,
            errors: observer.dead_letters.load(Ordering::Relaxed),
        });
        let through = written + observer.dead_letters.load(Ordering::Relaxed);
        if inserted.is_some() && through >= acknowledged {
            progress.load_over();
            return Ok(());
        }
        if patience.is_over(through) && inserted.is_some() {
            return Err(Failure::new(
                exit::DATA,
                anyhow::anyhow!(
                    "only {written} of {acknowledged} warm-up events reached the store, and none for {} s",
                    request.drain_timeout.as_secs()
                ),
            ));
        }
    }
}

/// The measured events, on their schedule.
async fn load(
    request: &RunRequest,
    servers: &Servers,
    observer: &Arc<RunObserver>,
    followers: &mut Followers,
    clock: Clock,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<LoadSummary, Failure> {
    let plan = plan(
        request,
        servers,
        &observer.names.measured,
        generator(request, 0),
        request.limit,
    );
    let load = run_load(
        plan,
        clock,
        Arc::new(MeasuredLoad(Arc::clone(observer))),
        cancel.clone(),
    );
    tokio::pin!(load);
    let mut rate = RateMeter::default();
    loop {
        tokio::select! {
            summary = &mut load => return Ok(summary?),
            () = tokio::time::sleep(TICK) => {}
        }
        followers.check().await?;
        progress.load(&state("load", request, observer, &mut rate));
    }
}

/// Waits until every event is through, or none has come for as long as the drain may wait. True: all are through.
async fn drain(
    request: &RunRequest,
    observer: &Arc<RunObserver>,
    followers: &mut Followers,
    progress: &dyn RunProgress,
) -> Result<bool, Failure> {
    let mut rate = RateMeter::default();
    let mut patience = Patience::new(request.drain_timeout);
    loop {
        followers.check().await?;
        let tally = observer.joiner.tally();
        let through = tally.written + observer.dead_letters.load(Ordering::Relaxed);
        if through >= tally.inserted && tally.captured >= tally.inserted {
            return Ok(true);
        }
        if patience.is_over(through + tally.captured) {
            tracing::error!(
                inserted = tally.inserted,
                written = tally.written,
                "no event came through for {} s; the drain ends",
                request.drain_timeout.as_secs()
            );
            return Ok(false);
        }
        progress.load(&state("drain", request, observer, &mut rate));
        tokio::time::sleep(TICK / 4).await;
    }
}

fn state(
    phase: &'static str,
    request: &RunRequest,
    observer: &RunObserver,
    rate: &mut RateMeter,
) -> LoadState {
    let tally = observer.joiner.tally();
    let quantiles = observer.live_quantiles();
    LoadState {
        phase,
        target: request.expected(),
        inserted: tally.inserted,
        written: tally.written,
        written_per_s: rate.read(tally.written),
        p50: quantiles.map(|(p50, _)| p50),
        p99: quantiles.map(|(_, p99)| p99),
        errors: tally.insert_errors + observer.dead_letters.load(Ordering::Relaxed),
    }
}

/// Stops reader, consumer and recorder, and takes what the recorder has made of the events.
async fn stop(followers: Followers, observer: &RunObserver) -> Result<(Recording, u64), Failure> {
    let Followers {
        reader,
        stage,
        stop_stage,
        recorder,
        connector_watch,
    } = followers;
    drop(stop_stage);
    match stage.await {
        Ok((source, end)) => {
            source.0.close().await;
            end.map_err(|error| Failure::from(error).context("the consumer stopped"))?;
        }
        Err(panicked) => {
            return Err(Failure::new(exit::DATA, panicked).context("the consumer stopped"));
        }
    }
    let restarts = connector_watch.stop().await;
    let stats = tokio::task::spawn_blocking(move || reader.stop()).await;
    match stats {
        Ok(Ok(stats)) => tracing::info!(?stats, "WAL reader stopped"),
        Ok(Err(error)) => tracing::warn!(%error, "our WAL reader did not stop cleanly"),
        Err(panicked) => tracing::warn!(%panicked, "our WAL reader did not stop cleanly"),
    }
    observer.close();
    let recording = tokio::task::spawn_blocking(move || recorder.finish()).await;
    let recording = recording.map_err(|panicked| Failure::new(exit::USAGE, panicked))??;
    Ok((recording, restarts))
}

/// Events a second over the last second.
#[derive(Default)]
pub(super) struct RateMeter {
    since: Option<(Instant, u64)>,
    rate: f64,
}

impl RateMeter {
    #[allow(clippy::cast_precision_loss)] // counts far below 2^53
    pub(super) fn read(&mut self, count: u64) -> f64 {
        let (since, before) = *self.since.get_or_insert((Instant::now(), count));
        let span = since.elapsed().as_secs_f64();
        if span >= 1.0 {
            self.rate = count.saturating_sub(before) as f64 / span;
            self.since = Some((Instant::now(), count));
        }
        self.rate
    }
}

/// Runs out when a count has not moved for a while.
struct Patience {
    limit: Duration,
    last: Option<u64>,
    since: Instant,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            last: None,
            since: Instant::now(),
        }
    }

    fn is_over(&mut self, count: u64) -> bool {
        if self.last != Some(count) {
            self.last = Some(count);
            self.since = Instant::now();
        }
        self.since.elapsed() > self.limit
    }
}
