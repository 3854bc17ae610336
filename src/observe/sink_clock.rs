//! The clock of the sink, where its own stamps are used: PostgreSQL's, which is asked by round trips; that of a consumer that reports
//! its records; the broker's of topics downstream.

use std::time::Duration;

use cdc_bench_model::observation::ObservationJoiner;
use cdc_bench_model::report::ClockReport;
use cdc_bench_model::timeline::{
    Clock, ClockOffset, ClockTrack, HALF_MILLISECOND, Nanos, OffsetLine, Stamp,
};
use cdc_bench_stack::PostgresEndpoint;
use tokio_postgres::Client;

use super::clock_report::clock_report;
use super::discovery::Sink;
use super::line_clock::LineClock;
use crate::pipeline::{Failure, connect_postgres, measure_postgres};

/// What bounds a consumer's clock.
const CAUSALITY: &str = "causality: each record was in Kafka before it was received and written, and its line came after that";
/// Round trips of a measurement of a server's.
const EXCHANGES: u32 = 12;
/// How long they may take.
const LONGEST: Duration = Duration::from_secs(1);

/// The clock of the sink.
pub(super) enum SinkClock {
    /// None: the sink's time is when we see its change, on our clock.
    Ours,
    /// The consumer's.
    Consumer(LineClock),
    /// The broker's, of topics downstream: the error of its stamps. They stand beside what we see, on our clock.
    Broker(Option<Nanos>),
    /// PostgreSQL's: commit times stand beside what we see, on our clock.
    Postgres(Box<PostgresClock>),
}

/// The broker's clock, as the changes show it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BrokerLine {
    pub(super) line: OffsetLine,
    /// `None` where it is not known.
    pub(super) bound: Option<Nanos>,
}

/// The clock of the sink's PostgreSQL.
pub(super) struct PostgresClock {
    endpoint: PostgresEndpoint,
    client: Client,
    clock: Clock,
    track: ClockTrack,
}

impl SinkClock {
    /// # Errors
    /// When the sink's server does not answer.
    pub(super) async fn of(sink: Option<&Sink>, clock: Clock) -> Result<Self, Failure> {
        Ok(match sink {
            Some(Sink::Postgres(sink)) => Self::Postgres(Box::new(PostgresClock {
                endpoint: sink.endpoint.clone(),
                client: connect_postgres(&sink.endpoint).await?,
                clock,
                track: ClockTrack::default(),
            })),
            Some(Sink::Lines(source)) => {
                Self::Consumer(LineClock::of("consumer", CAUSALITY, source, clock))
            }
            Some(Sink::Kafka(_)) => Self::Broker(None),
            Some(Sink::Mongo(_)) | None => Self::Ours,
        })
    }

    /// Measures, and corrects the sink's stamps by it from now on.
    pub(super) async fn measure(
        &mut self,
        now: Stamp,
        broker: BrokerLine,
        joiner: &mut ObservationJoiner,
    ) {
        match self {
            Self::Ours => {}
            Self::Consumer(consumer) => {
                let (by_lines, resolution) =
                    (joiner.take_sink_clock_bound(), joiner.sink_resolution());
                joiner.correct_sink(consumer.measure(now, by_lines, resolution));
            }
            Self::Broker(bound) => {
                *bound = broker.bound.map(|bound| bound + HALF_MILLISECOND);
                joiner.correct_sink(broker.line);
            }
            Self::Postgres(postgres) => postgres.measure(joiner).await,
        }
    }

    /// Error bound of T5, which is of our clock but where the consumer says it.
    pub(super) fn bound_of_end(&self) -> Option<Nanos> {
        match self {
            Self::Ours | Self::Broker(_) | Self::Postgres(_) => Some(Nanos(0)),
            Self::Consumer(consumer) => consumer.bound(),
        }
    }

    /// Error bound of its stamps; `None` where nothing is known of it.
    pub(super) fn bound(&self) -> Option<Nanos> {
        match self {
            Self::Ours => Some(Nanos(0)),
            Self::Consumer(consumer) => consumer.bound(),
            Self::Broker(bound) => *bound,
            Self::Postgres(postgres) => postgres.track.error_bound(),
        }
    }

    /// The resolution of its stamps.
    pub(super) fn resolution(&self) -> Nanos {
        match self {
            Self::Ours | Self::Broker(_) | Self::Postgres(_) => Nanos(0),
            Self::Consumer(consumer) => consumer.resolution(),
        }
    }

    /// The clock as the report has it.
    pub(super) fn report(&self) -> Option<ClockReport> {
        match self {
            // The broker's is there already.
            Self::Ours | Self::Broker(_) => None,
            Self::Consumer(consumer) => consumer.report(),
            Self::Postgres(postgres) => Some(clock_report(
                "sink",
                &postgres.track,
                postgres.track.error_bound()?,
                "round trips to clock_timestamp(), intersected",
            )),
        }
    }
}

impl PostgresClock {
    async fn measure(&mut self, joiner: &mut ObservationJoiner) {
        // A server that is away for a while cannot be measured, and is not waited for.
        match tokio::time::timeout(LONGEST, self.ask()).await {
            Ok(Ok(offset)) => self.track.observe(self.clock.now(), offset),
            Ok(Err(failure)) => tracing::debug!(%failure, "the sink's clock could not be measured"),
            Err(_) => tracing::debug!("the sink did not say what time it is"),
        }
        let line = self.track.line().unwrap_or_default();
        self.track.use_line(self.clock.now(), line);
        joiner.correct_sink(line);
    }

    async fn ask(&mut self) -> Result<ClockOffset, Failure> {
        if self.client.is_closed() {
            self.client = connect_postgres(&self.endpoint).await?;
        }
        Ok(measure_postgres(&self.client, EXCHANGES, self.clock).await?)
    }
}
