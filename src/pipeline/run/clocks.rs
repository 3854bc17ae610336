//! The foreign clocks of a run: measured before it, now and then while it goes on, and after it.
//!
//! PostgreSQL is asked in round trips, the broker by probe records. Connect's clock cannot be asked. It is bounded by
//! causality: an event is handed on no sooner than its commit and no later than it is in Kafka. Where it is known
//! to be the kernel's, as PostgreSQL's is, it is PostgreSQL's, unless events contradict that.

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

/// Exchanges with each server before the run and after it; the quickest of them sets the bound.
const THOROUGH: u32 = 60;
/// Exchanges at a time while events are under way.
const BRIEF: u32 = 12;
/// Between two measurements at first; later a twentieth of the time so far.
const EVERY: Duration = Duration::from_secs(2);

/// Measures while a run goes on.
pub(crate) struct Clocks {
    /// As everybody who corrects a stamp knows them.
    pub(crate) foreign: Arc<ForeignClocks>,
    /// Asks for a measurement at once.
    ask: mpsc::Sender<oneshot::Sender<()>>,
    stop: CancellationToken,
    task: JoinHandle<ClockMeter>,
}

/// The clocks over the whole run.
#[derive(Debug, Clone)]
pub(crate) struct MeasuredClocks {
    postgres: ClockTrack,
    broker: ClockTrack,
    connect: ClockTrack,
    /// Whether Connect's clock was taken for PostgreSQL's all the time.
    shared: bool,
}

impl Clocks {
    /// Measures, and goes on to do so now and then. `probe_topic` takes the probe records and must have `LogAppendTime`.
    pub(crate) async fn start(
        servers: &Servers,
        probe_topic: &str,
        one_clock: bool,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let foreign = Arc::new(ForeignClocks::default());
        let mut meter = ClockMeter {
            // One of its own: nothing waits before its questions.
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

    /// Measures now, with what the events so far say of Connect's clock. None of them was measured: whatever its line was
    /// before does not matter.
    pub(crate) async fn settle_connect(&self) {
        let (done, is_done) = oneshot::channel();
        if self.ask.send(done).await.is_ok() {
            // A measurement that failed has been told of.
            let _ = is_done.await;
        }
    }

    /// Measures once more.
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
                    // A run that failed has let go of its clocks.
                    None => return self,
                },
                () = tokio::time::sleep(pause) => None,
            };
            if done.is_some() {
                self.measured.forget_connect(self.one_clock);
            }
            // A server that is away for a while has no time to tell.
            if let Err(failure) = self.measure(BRIEF).await {
                tracing::debug!(%failure, "the clocks could not be measured");
            }
            if let Some(done) = done {
                // Whoever asked may have been cancelled.
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

/// By round trips to `clock_timestamp()`, which has microseconds.
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
    /// What is best known, to be used from now on.
    fn corrections(&mut self, now: Stamp, one_clock: bool) -> Corrections {
        let postgres = self.postgres.line().unwrap_or_default();
        let broker = self.broker.line().unwrap_or_default();
        let is_shared = one_clock && self.connect.allows(now, postgres.offset_at(now));
        self.shared &= is_shared;
        let connect = if is_shared {
            postgres
        } else {
            // Without an event and without a common host there is nothing to go by.
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

    /// No stamp of Connect's that matters has been corrected so far.
    fn forget_connect(&mut self, one_clock: bool) {
        self.connect.forget_lines();
        self.shared = one_clock;
    }

    /// How far a stamp of PostgreSQL's may be off.
    pub(crate) fn postgres_bound(&self) -> Nanos {
        self.postgres.error_bound().unwrap_or_default()
    }

    /// How far the broker's clock may be off, beside the millisecond that its stamps are.
    pub(crate) fn broker_bound(&self) -> Nanos {
        self.broker.error_bound().unwrap_or_default()
    }

    /// How far a stamp of Connect's may be off; `None` where nothing is known of its clock.
    pub(crate) fn connect_bound(&self) -> Option<Nanos> {
        if self.shared {
            Some(self.postgres_bound())
        } else {
            self.connect.error_bound()
        }
    }

    /// How far the stamps of both may be off that hops end at.
    pub(crate) fn bounds(&self) -> ClockBounds {
        ClockBounds {
            broker: self.broker_bound(),
            connect: self.connect_bound(),
        }
    }

    /// As reports carry them; Connect's only where a path went by it.
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
        // Handed on before it was committed, by PostgreSQL's clock.
        let each = [1, 2, 3, 4].map(|second| (second, offset(-250, 1_500)));
        let skewed = measured(&each, true);
        let connect = &skewed.report(true)[2];
        assert!(connect.method.contains("causality"), "{connect:?}");
        // That it was taken for PostgreSQL's before the first event does not matter: none was measured then.
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
