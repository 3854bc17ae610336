//! Measures the clocks of PostgreSQL, the broker and Connect: before a run, periodically during it, and after it.
//!
//! PostgreSQL's clock is measured by round trips, the broker's by probe records. Connect's clock cannot be queried. It is
//! bounded by causality: Debezium reads an event no earlier than its commit and no later than its record is in Kafka. If
//! Connect is known to share PostgreSQL's host clock, PostgreSQL's measurements are used, unless events contradict them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cdc_bench_model::report::ClockReport;
use cdc_bench_model::timeline::{
    Clock, ClockBounds, ClockOffset, ClockTrack, Corrections, ForeignClocks, Nanos,
    OffsetEstimator, OffsetLine, Stamp,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::broker::BrokerClock;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::servers::Servers;
use crate::pipeline::provision::source::connect_postgres;

/// Exchanges with each server before and after the run; the fastest of them set the error bound.
const THOROUGH: u32 = 60;
/// Exchanges per measurement while events are in flight.
const BRIEF: u32 = 12;
/// Initial interval between measurements; later a twentieth of the elapsed time.
const EVERY: Duration = Duration::from_secs(2);

/// Measures the foreign clocks in the background during a run.
pub(crate) struct Clocks {
    /// The current corrections, shared with everything that corrects stamps.
    pub(crate) foreign: Arc<ForeignClocks>,
    /// Requests an immediate measurement.
    ask: mpsc::Sender<oneshot::Sender<()>>,
    stop: CancellationToken,
    task: JoinHandle<ClockMeter>,
}

/// The measured clocks over the whole run.
#[derive(Debug, Clone)]
pub(crate) struct MeasuredClocks {
    postgres: ClockTrack,
    broker: ClockTrack,
    connect: ClockTrack,
    /// Whether Connect's clock was taken to be PostgreSQL's throughout the run.
    shared: bool,
}

impl Clocks {
    /// Measures once, then starts measuring periodically. `probe_topic` receives the probe records and must have `LogAppendTime`.
    pub(crate) async fn start(
        servers: &Servers,
        probe_topic: &str,
        one_clock: bool,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let foreign = Arc::new(ForeignClocks::default());
        let mut meter = ClockMeter {
            // A separate connection, so that no other query delays the round trips.
            postgres: connect_postgres(&servers.endpoints.postgres).await?,
            broker: BrokerClock::new(&servers.kafka_config, probe_topic, clock)?,
            clock,
            one_clock,
            foreign: Arc::clone(&foreign),
            measured: MeasuredClocks {
                postgres: ClockTrack::default(),
                broker: ClockTrack::default(),
                connect: ClockTrack::default(),
                shared: one_clock,
            },
        };
        meter.measure(THOROUGH).await?;
        let stop = CancellationToken::new();
        let (ask, asked) = mpsc::channel(1);
        let task = tokio::spawn(meter.go_on(asked, stop.clone()));
        Ok(Self {
            foreign,
            ask,
            stop,
            task,
        })
    }

    /// Measures now, including what the warm-up events say about Connect's clock. Its earlier corrections are dropped: no
    /// measured event has used them.
    pub(crate) async fn settle_connect(&self) {
        let (done, is_done) = oneshot::channel();
        if self.ask.send(done).await.is_ok() {
            // A failed measurement has been logged.
            let _ = is_done.await;
        }
    }

    /// Takes the final measurement and stops.
    pub(crate) async fn stop(self) -> Result<MeasuredClocks, Failure> {
        self.stop.cancel();
        let meter = self.task.await;
        let mut meter = meter.map_err(|e| Failure::server(e).context("measuring the clocks"))?;
        if let Err(failure) = meter.measure(THOROUGH).await {
            tracing::warn!(%failure, "the clocks could not be measured again");
        }
        Ok(meter.measured)
    }
}

struct ClockMeter {
    postgres: Client,
    broker: BrokerClock,
    clock: Clock,
    one_clock: bool,
    foreign: Arc<ForeignClocks>,
    measured: MeasuredClocks,
}

impl ClockMeter {
    async fn go_on(
        mut self,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
        stop: CancellationToken,
    ) -> Self {
        let began = Instant::now();
        loop {
            let pause = EVERY.max(began.elapsed() / 20);
            let done = tokio::select! {
                () = stop.cancelled() => return self,
                asked = asked.recv() => match asked {
                    Some(done) => Some(done),
                    // The run failed and has dropped its clocks.
                    None => return self,
                },
                () = tokio::time::sleep(pause) => None,
            };
            if done.is_some() {
                self.measured.forget_connect(self.one_clock);
            }
            // A server that is unreachable for a while cannot be measured.
            if let Err(failure) = self.measure(BRIEF).await {
                tracing::debug!(%failure, "the clocks could not be measured");
            }
            if let Some(done) = done {
                // The requester may have been cancelled.
                let _ = done.send(());
            }
        }
    }

    async fn measure(&mut self, exchanges: u32) -> Result<(), Failure> {
        let began = self.clock.now();
        let postgres = ask_postgres(&self.postgres, exchanges, self.clock).await?;
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
            .correct(self.measured.corrections(now, self.one_clock));
        Ok(())
    }
}

fn midway(from: Stamp, to: Stamp) -> Stamp {
    from + Nanos((to - from).0 / 2)
}

/// Measures PostgreSQL's clock by round trips to `clock_timestamp()`, which has microsecond resolution.
async fn ask_postgres(
    client: &Client,
    exchanges: u32,
    clock: Clock,
) -> Result<ClockOffset, tokio_postgres::Error> {
    let read = client
        .prepare("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .await?;
    let mut estimator = OffsetEstimator::default();
    for _ in 0..exchanges {
        let sent = clock.now();
        let row = client.query_one(&read, &[]).await?;
        let received = clock.now();
        let micros: i64 = row.get(0);
        estimator.observe(sent, received, Stamp(micros * 1_000), Nanos(1_000));
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    Ok(estimator.estimate().expect("exchanges were observed"))
}

impl MeasuredClocks {
    /// The corrections to use from now on.
    fn corrections(&mut self, now: Stamp, one_clock: bool) -> Corrections {
        let postgres = self.postgres.line().unwrap_or_default();
        let broker = self.broker.line().unwrap_or_default();
        let is_shared = one_clock && self.connect.allows(now, postgres.offset_at(now));
        self.shared &= is_shared;
        let connect = if is_shared {
            postgres
        } else {
            // Without an event and without a shared host nothing is known.
            self.connect.line().unwrap_or_default()
        };
        self.postgres.use_line(now, postgres);
        self.broker.use_line(now, broker);
        self.connect.use_line(now, connect);
        Corrections {
            postgres,
            postgres_bound: self.postgres_bound(),
            broker,
            broker_bound: self.broker_bound(),
            connect,
            connect_bound: self.connect_bound(),
        }
    }

    /// Drops the corrections of Connect's clock: no measured event has used them.
    fn forget_connect(&mut self, one_clock: bool) {
        self.connect.forget_lines();
        self.shared = one_clock;
    }

    /// Error bound of PostgreSQL's stamps.
    pub(crate) fn postgres_bound(&self) -> Nanos {
        self.postgres.error_bound().unwrap_or_default()
    }

    /// Error bound of the broker's clock, without the millisecond resolution of its stamps.
    pub(crate) fn broker_bound(&self) -> Nanos {
        self.broker.error_bound().unwrap_or_default()
    }

    /// Error bound of Connect's stamps; `None` if its clock is unknown.
    pub(crate) fn connect_bound(&self) -> Option<Nanos> {
        if self.shared {
            Some(self.postgres_bound())
        } else {
            self.connect.error_bound()
        }
    }

    /// Error bounds of the two clocks that hops end at.
    pub(crate) fn bounds(&self) -> ClockBounds {
        ClockBounds {
            broker: self.broker_bound(),
            connect: self.connect_bound(),
        }
    }

    /// The clocks as the report has them; Connect's only if a path uses it.
    pub(crate) fn report(&self, with_connect: bool) -> Vec<ClockReport> {
        let mut clocks = vec![
            report(
                "postgres",
                &self.postgres,
                self.postgres_bound(),
                "round trips to clock_timestamp(), intersected",
            ),
            report(
                "kafka",
                &self.broker,
                self.broker_bound(),
                "probe records' LogAppendTime between send and delivery report, intersected; whole milliseconds",
            ),
        ];
        if let Some(bound) = self.connect_bound().filter(|_| with_connect) {
            let (track, method) = if self.shared {
                (
                    &self.postgres,
                    "taken for PostgreSQL's: both keep their host's, and no event contradicts it",
                )
            } else {
                (
                    &self.connect,
                    "causality: each event handed on between its commit and its record in Kafka",
                )
            };
            clocks.push(report("connect", track, bound, method));
        }
        clocks
    }
}

fn report(server: &str, track: &ClockTrack, bound: Nanos, method: &str) -> ClockReport {
    let first = track.first_offset().unwrap_or_default();
    let uneven = if track.is_uneven() {
        "; no straight line goes through the measurements: this clock was stepped, or does not run evenly"
    } else {
        ""
    };
    ClockReport {
        server: server.to_owned(),
        offset: first.round_micros(),
        error_bound: bound.round_micros(),
        drift: track.drift().map(Nanos::round_micros),
        drift_ppm: track
            .line()
            .map(|line: OffsetLine| (line.drift_ppm() * 10.0).round() / 10.0),
        measurements: u64::try_from(track.measurements()).unwrap_or(u64::MAX),
        method: format!("{method}{uneven}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Stamp {
        Stamp(seconds * 1_000_000_000)
    }

    fn offset(ms: i64, bound_us: i64) -> ClockOffset {
        ClockOffset {
            offset: Nanos::from_millis(ms),
            error_bound: Nanos::from_micros(bound_us),
            samples: 1,
            inconsistent: false,
        }
    }

    fn measured(connect: &[(i64, ClockOffset)], one_clock: bool) -> MeasuredClocks {
        let mut measured = MeasuredClocks {
            postgres: ClockTrack::default(),
            broker: ClockTrack::default(),
            connect: ClockTrack::default(),
            shared: one_clock,
        };
        for second in 0..5 {
            if second == 2 {
                measured.forget_connect(one_clock);
            }
            measured.postgres.observe(at(second), offset(7, 50));
            measured.broker.observe(at(second), offset(0, 400));
            for (_, found) in connect.iter().filter(|(when, _)| *when == second) {
                measured.connect.observe(at(second), *found);
            }
            measured.corrections(at(second), one_clock);
        }
        measured
    }

    #[test]
    fn on_one_clock_connects_clock_is_postgresqls() {
        let shared = measured(&[(1, offset(8, 2_000)), (2, offset(6, 1_500))], true);
        assert_eq!(shared.connect_bound(), Some(shared.postgres_bound()));
        assert!(shared.report(true)[2].method.contains("their host's"));
        assert_eq!(shared.report(false).len(), 2);
    }

    #[test]
    fn events_that_contradict_a_shared_clock_win() {
        // Read by Debezium before it was committed, by PostgreSQL's clock.
        let each = [1, 2, 3, 4].map(|second| (second, offset(-250, 1_500)));
        let skewed = measured(&each, true);
        let connect = &skewed.report(true)[2];
        assert!(connect.method.contains("causality"), "{connect:?}");
        // That the clocks were taken to be one before the first measured event does not matter.
        assert!(skewed.connect_bound().unwrap() <= Nanos::from_millis(4));
    }

    #[test]
    fn on_a_clock_of_its_own_nothing_is_known_before_an_event() {
        assert_eq!(measured(&[], false).connect_bound(), None);
        let each = [0, 1, 2, 3, 4].map(|second| (second, offset(90, 1_500)));
        let known = measured(&each, false);
        assert!(known.connect_bound().unwrap() <= Nanos::from_millis(4));
    }
}
