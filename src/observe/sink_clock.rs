//! The clock of the sink, where its own stamps are used. PostgreSQL's is asked for by round trips. That of a consumer which
//! reports its records cannot be asked: each record was in Kafka before it was consumed, and consumed before we had its line.
//! Lines that come by a file, a pipe or a socket are of a process on this host, so its clock is this host's, unless a line
//! contradicts that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cdc_bench_model::observation::ObservationJoiner;
use cdc_bench_model::report::ClockReport;
use cdc_bench_model::timeline::{
    Clock, ClockOffset, ClockTrack, HALF_MILLISECOND, Nanos, OffsetEstimator, OffsetLine, Stamp,
};
use cdc_bench_stack::PostgresEndpoint;
use tokio_postgres::Client;

use super::discovery::Sink;
use super::lines_source::LinesSource;
use crate::pipeline::{Failure, connect_postgres, measure_postgres};

/// Readings of this host's clock at a measurement.
const READINGS: u32 = 8;
/// Round trips of a measurement of a server's.
const EXCHANGES: u32 = 12;
/// How long they may take.
const LONGEST: Duration = Duration::from_secs(1);

/// The clock of the sink.
pub(super) enum SinkClock {
    /// None: the sink's time is when we see its change, on our clock.
    Ours,
    /// The consumer's.
    Consumer(ConsumerClock),
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

/// The clock of a PostgreSQL server.
pub(super) struct PostgresClock {
    endpoint: PostgresEndpoint,
    client: Client,
    clock: Clock,
    track: ClockTrack,
}

/// The clock of a consumer that reports its records.
pub(super) struct ConsumerClock {
    clock: Clock,
    changes: ClockTrack,
    /// This host's, while it is taken for that.
    host: ClockTrack,
    is_host: bool,
    resolution: Nanos,
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
            Some(Sink::Lines(source)) => Self::Consumer(ConsumerClock {
                clock,
                changes: ClockTrack::default(),
                host: ClockTrack::default(),
                is_host: !matches!(source, LinesSource::Topic(_)),
                resolution: Nanos(0),
            }),
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
            Self::Consumer(consumer) => consumer.measure(now, joiner),
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
            Self::Consumer(consumer) => consumer.resolution,
        }
    }

    /// The clock as the report has it.
    pub(super) fn report(&self) -> Option<ClockReport> {
        match self {
            // The broker's is there already.
            Self::Ours | Self::Broker(_) => None,
            Self::Consumer(consumer) => consumer.report(),
            Self::Postgres(postgres) => Some(report(
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

impl ConsumerClock {
    fn measure(&mut self, now: Stamp, joiner: &mut ObservationJoiner) {
        if let Some(offset) = joiner.take_sink_clock_bound() {
            self.changes.observe(now, offset);
        }
        self.resolution = joiner.sink_resolution();
        let mut estimator = OffsetEstimator::default();
        for _ in 0..READINGS {
            let sent = self.clock.now();
            if let Ok(reading) = SystemTime::now().duration_since(UNIX_EPOCH) {
                let reading = i64::try_from(reading.as_nanos()).unwrap_or(i64::MAX);
                estimator.observe(sent, self.clock.now(), Stamp(reading), Nanos(1));
            }
        }
        if let Some(offset) = estimator.estimate() {
            self.host.observe(now, offset);
        }
        let of_host = self.host.line().unwrap_or_default();
        if self.is_host && !self.changes.allows(now, of_host.offset_at(now)) {
            self.is_host = false;
            tracing::warn!("the consumer's lines have another clock than this host's");
        }
        let line = if self.is_host {
            of_host
        } else {
            self.changes.line().unwrap_or_default()
        };
        self.host.use_line(now, of_host);
        self.changes.use_line(now, line);
        joiner.correct_sink(line);
    }

    fn track(&self) -> &ClockTrack {
        if self.is_host {
            &self.host
        } else {
            &self.changes
        }
    }

    fn bound(&self) -> Option<Nanos> {
        Some(self.track().error_bound()? + self.resolution)
    }

    fn report(&self) -> Option<ClockReport> {
        let method = if self.is_host {
            "taken for this host's, where its lines come from, and no line contradicts it"
        } else {
            "causality: each record was in Kafka before it was received and written, and its line came after that"
        };
        Some(report("consumer", self.track(), self.bound()?, method))
    }
}

fn report(server: &str, track: &ClockTrack, bound: Nanos, method: &str) -> ClockReport {
    ClockReport {
        server: server.to_owned(),
        offset: track.first_offset().unwrap_or_default().round_micros(),
        error_bound: bound.round_micros(),
        drift: track.drift().map(Nanos::round_micros),
        drift_ppm: track
            .line()
            .map(|line| (line.drift_ppm() * 10.0).round() / 10.0),
        measurements: u64::try_from(track.measurements()).unwrap_or(u64::MAX),
        method: method.to_owned(),
    }
}
