//! Measures the foreign clocks: before a run, periodically during it, and after it. PostgreSQL's clock is measured by round
//! trips, the broker's by probe records, Connect's by the events themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cdc_bench_model::timeline::{Clock, ForeignClocks, Nanos, Stamp};
use cdc_bench_stack::PostgresEndpoint;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::broker::BrokerClock;
use crate::pipeline::failure::Failure;
use crate::pipeline::monitor::postgres_clock::measure_postgres;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::connect_postgres;
use crate::pipeline::run::measured_clocks::MeasuredClocks;

/// Exchanges with each server before and after the run; the fastest of them set the error bound.
const EXCHANGES_AT_THE_ENDS: u32 = 60;
/// Exchanges per measurement while events are in flight.
const EXCHANGES_DURING_RUN: u32 = 12;
/// Initial interval between measurements; later a twentieth of the elapsed time.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);

/// Measures the foreign clocks in the background during a run.
pub(crate) struct Clocks {
    /// The current corrections, shared with everything that corrects stamps.
    pub(crate) foreign: Arc<ForeignClocks>,
    /// Requests an immediate measurement.
    requests: mpsc::Sender<oneshot::Sender<()>>,
    stop: CancellationToken,
    task: JoinHandle<ClockMeter>,
}

impl Clocks {
    /// Measures once, then starts measuring periodically. `probe_topic` receives the probe records and must have `LogAppendTime`.
    pub(crate) async fn start(
        servers: &ServerClients,
        probe_topic: &str,
        connect_shares_clock: bool,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let foreign = Arc::new(ForeignClocks::default());
        let mut meter = ClockMeter {
            // A separate connection, so that no other query delays the round trips.
            postgres: connect_postgres(&servers.endpoints.postgres).await?,
            endpoint: servers.endpoints.postgres.clone(),
            broker: BrokerClock::new(&servers.kafka_config, probe_topic, clock)?,
            clock,
            connect_shares_clock,
            foreign: Arc::clone(&foreign),
            measured: MeasuredClocks::new(connect_shares_clock),
        };
        meter.measure(EXCHANGES_AT_THE_ENDS).await?;
        let stop = CancellationToken::new();
        let (requests, received) = mpsc::channel(1);
        let task = tokio::spawn(meter.run_until_stopped(received, stop.clone()));
        Ok(Self {
            foreign,
            requests,
            stop,
            task,
        })
    }

    /// Measures now, including what the warm-up events say about Connect's clock. Its earlier corrections are dropped: no
    /// measured event has used them.
    pub(crate) async fn settle_connect(&self) {
        let (done, is_done) = oneshot::channel();
        if self.requests.send(done).await.is_ok() {
            // A failed measurement has been logged.
            let _ = is_done.await;
        }
    }

    /// Takes the final measurement and stops.
    pub(crate) async fn stop(self) -> Result<MeasuredClocks, Failure> {
        self.stop.cancel();
        let meter = self.task.await;
        let mut meter = meter.map_err(|e| Failure::server(e).context("measuring the clocks"))?;
        if let Err(failure) = meter.measure(EXCHANGES_AT_THE_ENDS).await {
            tracing::warn!(%failure, "the clocks could not be measured again");
        }
        Ok(meter.measured)
    }
}

/// A clock that runs with PostgreSQL's as far as that is known now, as those of all machines of a test do; and how far PostgreSQL's is
/// ahead of the machine's own.
pub(crate) async fn common_clock(
    postgres: &Client,
    clock: Clock,
) -> Result<(Clock, Nanos), Failure> {
    let found = measure_postgres(postgres, EXCHANGES_AT_THE_ENDS, clock).await?;
    Ok((clock.ahead_by(found.offset), found.offset))
}

struct ClockMeter {
    postgres: Client,
    endpoint: PostgresEndpoint,
    broker: BrokerClock,
    clock: Clock,
    connect_shares_clock: bool,
    foreign: Arc<ForeignClocks>,
    measured: MeasuredClocks,
}

impl ClockMeter {
    async fn run_until_stopped(
        mut self,
        mut requests: mpsc::Receiver<oneshot::Sender<()>>,
        stop: CancellationToken,
    ) -> Self {
        let began = Instant::now();
        loop {
            let pause = FIRST_INTERVAL.max(began.elapsed() / 20);
            let done = tokio::select! {
                () = stop.cancelled() => return self,
                request = requests.recv() => match request {
                    Some(done) => Some(done),
                    // The run failed and has dropped its clocks.
                    None => return self,
                },
                () = tokio::time::sleep(pause) => None,
            };
            if done.is_some() {
                self.measured.forget_connect(self.connect_shares_clock);
            }
            // A server that is unreachable for a while cannot be measured.
            if let Err(failure) = self.measure(EXCHANGES_DURING_RUN).await {
                tracing::debug!(%failure, "the clocks could not be measured");
            }
            if let Some(done) = done {
                // The requester may have been cancelled.
                let _ = done.send(());
            }
        }
    }

    async fn measure(&mut self, exchanges: u32) -> Result<(), Failure> {
        if self.postgres.is_closed() {
            self.postgres = connect_postgres(&self.endpoint).await?;
        }
        let began = self.clock.now();
        let postgres = measure_postgres(&self.postgres, exchanges, self.clock).await?;
        self.measured
            .postgres
            .observe(midway(began, self.clock.now()), postgres);
        let began = self.clock.now();
        let broker = self.broker.measure(exchanges).await?;
        let now = self.clock.now();
        self.measured.broker.observe(midway(began, now), broker);
        if let Some(connect) = self.foreign.take_connect() {
            self.measured.connect.observe(now, connect);
        }
        self.foreign
            .correct(self.measured.corrections(now, self.connect_shares_clock));
        Ok(())
    }
}

fn midway(from: Stamp, to: Stamp) -> Stamp {
    from + Nanos((to - from).0 / 2)
}
