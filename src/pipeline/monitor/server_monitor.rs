//! Polls the servers while events are in flight: whether they answer, and how large their lags are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench_model::report::{Footprint, FootprintSeries};
use cdc_bench_model::timeline::{CapturePath, Clock, Stamp};
use cdc_bench_stack::{Stack, server_of};

use crate::broker::Backlog;
use crate::live::{PathState, ServerState};
use crate::pipeline::export::metrics::Metrics;
use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;
use crate::pipeline::monitor::footprint::footprint;
use crate::pipeline::monitor::lag_peaks::LagPeaks;
pub(crate) use crate::pipeline::monitor::pings::Silence;
use crate::pipeline::monitor::pings::{Asked, Pings};
use crate::pipeline::monitor::postgres_checkpoints;
use crate::pipeline::monitor::postgres_checkpoints::{CheckpointWatch, PostgresCheckpoint};
use crate::pipeline::monitor::postgres_session::PostgresSession;
use crate::pipeline::monitor::slot_lag::{SlotLag, query_slots};
use crate::pipeline::provision::servers::ServerClients;

/// Poll interval. The run's own clients are used.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Polls the servers of a trial.
pub(crate) struct ServerMonitor<'a> {
    servers: &'a ServerClients,
    stack: &'a Stack,
    since: jiff::Timestamp,
    paths: Vec<MonitoredPath>,
    status: Arc<Mutex<ServerStatus>>,
    clock: Clock,
    checkpoints: Mutex<CheckpointWatch>,
    pings: Arc<Pings>,
    footprint: Mutex<FootprintSeries>,
    lag_peaks: Arc<LagPeaks>,
    metrics: Option<&'a Metrics>,
}

/// What is polled for a path.
pub(crate) struct MonitoredPath {
    pub(crate) path: CapturePath,
    /// Replication slots, where they are known.
    pub(crate) slots: Vec<String>,
    /// The consumer's lag; `None` without Kafka.
    pub(crate) backlog: Option<Backlog>,
    /// Its topics; none without Kafka.
    pub(crate) topics: Vec<String>,
    /// Names of the connectors, where there are any.
    pub(crate) connectors: Vec<String>,
}

impl MonitoredPath {
    /// What is known of its slots.
    fn lags(&self, known: Option<&BTreeMap<String, SlotLag>>) -> impl Iterator<Item = SlotLag> {
        let slots = self.slots.iter();
        slots.filter_map(move |slot| known?.get(slot).copied())
    }
}

/// The status of the servers at the last poll.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerStatus {
    pub(crate) servers: Vec<ServerState>,
    /// By path: the lag in bytes of the slot that is farthest behind, and the consumer's lag in records.
    lags: BTreeMap<CapturePath, (Option<u64>, Option<u64>)>,
    /// By path: bytes of WAL that its slots keep on the server's disk.
    wal_held: BTreeMap<CapturePath, u64>,
    /// When the servers were asked.
    pub(crate) asked_at: Option<Stamp>,
}

impl ServerStatus {
    /// Each path's slot lag, in bytes.
    fn slot_lags(&self) -> impl Iterator<Item = (CapturePath, u64)> + '_ {
        let lags = self.lags.iter();
        lags.filter_map(|(path, (slot, _))| Some((*path, (*slot)?)))
    }

    /// Bytes of WAL that a path's slot keeps on the server's disk, if they are known.
    pub(crate) fn wal_held(&self, path: CapturePath) -> Option<u64> {
        self.wal_held.get(&path).copied()
    }

    /// Whether a server that the path needs has not answered, or is not well.
    pub(crate) fn trouble_of(&self, path: CapturePath) -> bool {
        !self.troubles_of(path).is_empty()
    }

    /// What is wrong with each server that the path needs.
    pub(crate) fn troubles_of(&self, path: CapturePath) -> Vec<String> {
        let needs = |server: &str| match server {
            "connect" => path == CapturePath::Debezium,
            "kafka" => path != CapturePath::Embedded,
            _ => true,
        };
        let servers = self.servers.iter().filter(|server| needs(&server.name));
        let trouble = servers.filter_map(|server| {
            let trouble = server.trouble.as_ref()?;
            Some(format!("{}: {trouble}", server.name))
        });
        trouble.collect()
    }

    /// Sets the lags of a path's state.
    pub(crate) fn complete(&self, state: &mut PathState) {
        if let Some((slot, records)) = self.lags.get(&state.path) {
            state.slot_lag_bytes = *slot;
            state.group_lag_records = *records;
        }
    }
}

impl<'a> ServerMonitor<'a> {
    /// A monitor of these paths. Slot lags are exported to the metrics, if there are any.
    pub(crate) fn new(
        (servers, stack): (&'a ServerClients, &'a Stack),
        paths: Vec<MonitoredPath>,
        clock: Clock,
        metrics: Option<&'a Metrics>,
    ) -> Self {
        Self {
            servers,
            stack,
            since: jiff::Timestamp::now(),
            paths,
            status: Arc::default(),
            clock,
            checkpoints: Mutex::default(),
            pings: Pings::new(clock),
            footprint: Mutex::default(),
            lag_peaks: Arc::default(),
            metrics,
        }
    }

    /// The latest status, updated at every poll.
    pub(crate) fn status(&self) -> Arc<Mutex<ServerStatus>> {
        Arc::clone(&self.status)
    }

    /// Where the largest lag of each partition is kept.
    pub(crate) fn lag_peaks(&self) -> Arc<LagPeaks> {
        Arc::clone(&self.lag_peaks)
    }

    /// The largest lag of each partition of a path's topic, in records.
    pub(crate) fn most_lag(&self, path: CapturePath) -> BTreeMap<i32, u64> {
        self.lag_peaks.of(path)
    }

    /// The most WAL that a slot kept on the server's disk, bytes.
    pub(crate) fn most_held(&self, slot: &str) -> Option<u64> {
        self.lag_peaks.most_held(slot)
    }

    /// PostgreSQL's checkpoints detected so far.
    pub(crate) fn checkpoints(&self) -> Vec<PostgresCheckpoint> {
        lock(&self.checkpoints).checkpoints().to_vec()
    }

    /// Times in which a server answered nothing.
    pub(crate) fn silences(&self) -> Vec<Silence> {
        self.pings.silences()
    }

    /// What this program and its servers took so far.
    pub(crate) fn footprint(&self) -> Vec<Footprint> {
        lock(&self.footprint).samples().to_vec()
    }

    /// Polls the servers until `work` is done.
    pub(crate) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let topics = self.paths.iter().flat_map(|path| path.topics.clone());
        let asked = Asked {
            topics: topics.collect(),
            connect: self.has_connectors(),
        };
        tokio::select! {
            done = work => done,
            never = self.poll() => match never {},
            failed = self.pings.ask(self.servers, asked) => match failed? {},
        }
    }

    async fn poll(&self) -> std::convert::Infallible {
        let mut session = PostgresSession::new(&self.servers.endpoints.postgres);
        let mut turns = tokio::time::interval(POLL_INTERVAL);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            if let Some(footprint) = footprint(self.stack) {
                lock(&self.footprint).push(footprint);
            }
            let status = self.query(&mut session).await;
            if let Some(metrics) = self.metrics {
                metrics.slot_lags(status.slot_lags());
            }
            *lock(&self.status) = status;
        }
    }

    async fn query(&self, session: &mut PostgresSession<'_>) -> ServerStatus {
        let asked_at = self.clock.now();
        let (slots, kafka, connect, store) = tokio::join!(
            within_timeout(self.slots(session)),
            within_timeout(self.backlogs()),
            within_timeout(self.connectors()),
            within_timeout(self.servers.store.identity()),
        );
        let lags = self.paths.iter().zip(kafka.as_deref().unwrap_or_default());
        let lags = lags.map(|(path, records)| {
            let unsent = path
                .lags(slots.as_ref().ok())
                .filter_map(|slot| slot.unsent);
            (path.path, (unsent.max(), *records))
        });
        let lags = lags.collect();
        for (slot, lag) in slots.iter().flatten() {
            if let Some(held) = lag.held {
                self.lag_peaks.observe_held(slot, held);
            }
        }
        let wal_held = self.paths.iter().filter_map(|path| {
            // The same WAL: it is kept from where the slot that is farthest behind needs it.
            let held = path.lags(slots.as_ref().ok()).filter_map(|slot| slot.held);
            Some((path.path, held.max()?))
        });
        let wal_held = wal_held.collect();
        let mut servers = vec![("postgres", slots.err())];
        if self.paths.iter().any(|path| path.backlog.is_some()) {
            servers.push(("kafka", kafka.err()));
        }
        if self.has_connectors() {
            servers.push(("connect", connect.err()));
        }
        let product = store.as_ref().ok().map(|identity| identity.name.clone());
        servers.push(("store", store.err()));
        let restarts = self.stack.restarts(self.since);
        let servers = servers.into_iter().map(|(name, trouble)| ServerState {
            name: name.to_owned(),
            product: (name == "store").then(|| product.clone()).flatten(),
            // What is asked for here may be known from before.
            trouble: trouble.or_else(|| self.pings.trouble(name, ANSWER_TIMEOUT)),
            restarts: restarts
                .iter()
                .map(|(server, _)| u64::from(server_of(server) == name))
                .sum(),
        });
        ServerStatus {
            servers: servers.collect(),
            lags,
            wal_held,
            asked_at: Some(asked_at),
        }
    }

    /// The slots; what has become of the checkpoints is noted.
    async fn slots(
        &self,
        session: &mut PostgresSession<'_>,
    ) -> Result<BTreeMap<String, SlotLag>, String> {
        let client = session.client().await?;
        let (slots, counters) =
            tokio::join!(query_slots(client), postgres_checkpoints::counters(client));
        if let Some(counters) = counters {
            lock(&self.checkpoints).observe(self.clock.now(), counters);
        }
        slots.map_err(|error| error.to_string())
    }

    fn has_connectors(&self) -> bool {
        self.paths.iter().any(|path| !path.connectors.is_empty())
    }

    /// In the order of the paths.
    async fn backlogs(&self) -> Result<Vec<Option<u64>>, crate::broker::BrokerError> {
        let mut records = Vec::new();
        for path in &self.paths {
            let backlog = match &path.backlog {
                Some(backlog) => backlog.by_partition().await?,
                None => None,
            };
            records.push(backlog.map(|backlog| {
                self.lag_peaks.observe(path.path, &backlog);
                backlog.values().sum()
            }));
        }
        Ok(records)
    }

    async fn connectors(&self) -> Result<(), String> {
        let Some(connect) = &self.servers.connect else {
            return Ok(());
        };
        for name in self.paths.iter().flat_map(|path| &path.connectors) {
            let status = connect.status(name).await.map_err(|e| e.to_string())?;
            if let Some(failure) = status.failure() {
                return Err(failure);
            }
            if !status.is_running() {
                return Err(format!("connector {name} is {}", status.describe()));
            }
        }
        Ok(())
    }
}

async fn within_timeout<T, E: ToString>(
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
    }
}
