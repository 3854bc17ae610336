//! The offsets of the servers' clocks. PostgreSQL's is asked for by round trips; Connect's and the broker's follow from the changes,
//! for nothing may be written: each handed a change on between its commit and our having its record. Servers that are all
//! reached by loopback have our clock's host, and its offset, unless a change contradicts that.

use std::time::Duration;

use cdc_bench_model::observation::{ObservationJoiner, ObservedHop};
use cdc_bench_model::report::ClockReport;
use cdc_bench_model::timeline::{
    Clock, ClockOffset, ClockTrack, Corrections, HALF_MILLISECOND, Nanos, OffsetLine, Stamp,
};
use cdc_bench_stack::PostgresEndpoint;
use tokio_postgres::Client;

use super::clock_report::clock_report;
use super::sink_clock::{BrokerLine, SinkClock};
use crate::pipeline::{Failure, connect_postgres, measure_postgres};

/// Round trips of one measurement.
const EXCHANGES: u32 = 12;
/// And of the first and the last, whose fastest set the bound.
pub(super) const EXCHANGES_AT_THE_ENDS: u32 = 60;

/// Longest wait for a measurement, and for one of those.
const LIMIT: Duration = Duration::from_secs(4);
const LIMIT_AT_THE_ENDS: Duration = Duration::from_secs(30);

/// Where changes have their last stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastStamp {
    /// In Kafka: neither a group nor a sink is looked at.
    Kafka,
    /// With the group's commit, which a poll finds: known to half the interval of the polls.
    Group(Nanos),
    /// In the sink, on our clock.
    Sink,
}

/// A clock that cannot be asked.
#[derive(Debug, Default)]
struct CausalClock {
    track: ClockTrack,
    /// Whether it was taken for PostgreSQL's throughout.
    is_shared: bool,
}

impl CausalClock {
    fn line(&mut self, now: Stamp, postgres: OffsetLine) -> OffsetLine {
        self.is_shared &= self.track.allows(now, postgres.offset_at(now));
        let line = if self.is_shared {
            postgres
        } else {
            self.track.line().unwrap_or_default()
        };
        self.track.use_line(now, line);
        line
    }

    fn bound(&self, postgres: Nanos) -> Option<Nanos> {
        if self.is_shared {
            Some(postgres)
        } else {
            self.track.error_bound()
        }
    }
}

/// The clocks of an observation.
pub(super) struct ObservedClocks {
    endpoint: PostgresEndpoint,
    session: Option<Client>,
    clock: Clock,
    postgres: ClockTrack,
    connect: CausalClock,
    broker: CausalClock,
    sink: SinkClock,
    /// How far the application's may be off, where it writes lines; our own clock is right.
    application: Option<Nanos>,
}

impl ObservedClocks {
    pub(super) fn new(
        endpoint: PostgresEndpoint,
        clock: Clock,
        are_shared: bool,
        sink: SinkClock,
    ) -> Self {
        let causal = || CausalClock {
            is_shared: are_shared,
            ..CausalClock::default()
        };
        Self {
            endpoint,
            session: None,
            clock,
            postgres: ClockTrack::default(),
            connect: causal(),
            broker: causal(),
            sink,
            application: Some(Nanos(0)),
        }
    }

    /// Asks PostgreSQL, takes what the changes say, and corrects by it from now on.
    ///
    /// # Errors
    /// When PostgreSQL does not answer; the others are corrected all the same.
    pub(super) async fn measure(
        &mut self,
        at_an_end: bool,
        joiner: &mut ObservationJoiner,
    ) -> Result<(), Failure> {
        let began = self.clock.now();
        let (exchanges, limit) = if at_an_end {
            (EXCHANGES_AT_THE_ENDS, LIMIT_AT_THE_ENDS)
        } else {
            (EXCHANGES, LIMIT)
        };
        let measured = tokio::time::timeout(limit, self.ask_postgres(exchanges)).await;
        let measured = measured.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            Err(Failure::server(anyhow::anyhow!(
                "PostgreSQL has not answered within {seconds} s"
            )))
        });
        let now = self.clock.now();
        if let Ok(offset) = &measured {
            let offset = *offset;
            let midway = began + Nanos((now - began).0 / 2);
            self.postgres.observe(midway, offset);
        }
        let (connect, broker) = joiner.take_clock_bounds();
        for (clock, found) in [(&mut self.connect, connect), (&mut self.broker, broker)] {
            if let Some(offset) = found {
                clock.track.observe(now, offset);
            }
        }
        let corrections = self.corrections(now);
        let broker = BrokerLine {
            line: corrections.broker,
            bound: self.broker.bound(corrections.postgres_bound),
        };
        joiner.correct(corrections);
        self.sink.measure(now, broker, joiner).await;
        measured.map(drop)
    }

    /// Asks PostgreSQL, by another session where the one before is broken.
    async fn ask_postgres(&mut self, exchanges: u32) -> Result<ClockOffset, Failure> {
        let session = self.session.take().filter(|session| !session.is_closed());
        let session = match session {
            Some(session) => session,
            None => connect_postgres(&self.endpoint).await?,
        };
        let measured = measure_postgres(&session, exchanges, self.clock).await;
        self.session = Some(session);
        Ok(measured?)
    }

    /// The application's clock may be off by so much; `None` where nothing is known of it.
    pub(super) fn set_application(&mut self, bound: Option<Nanos>) {
        self.application = bound;
    }

    /// How far the stamps of the user's statements may be off.
    pub(super) fn application(&self) -> Option<Nanos> {
        self.application
    }

    /// A report begins: it rests on measurements of its own time.
    pub(super) fn begin_anew(&mut self) {
        for track in [
            &mut self.postgres,
            &mut self.connect.track,
            &mut self.broker.track,
        ] {
            track.begin_anew();
        }
    }

    fn corrections(&mut self, now: Stamp) -> Corrections {
        let postgres = self.postgres.line().unwrap_or_default();
        self.postgres.use_line(now, postgres);
        let broker = self.broker.line(now, postgres);
        let connect = self.connect.line(now, postgres);
        let postgres_bound = self.postgres_bound();
        Corrections {
            postgres,
            postgres_bound,
            broker,
            broker_bound: self.broker.bound(postgres_bound).unwrap_or_default(),
            connect,
            connect_bound: self.connect.bound(postgres_bound),
        }
    }

    fn postgres_bound(&self) -> Nanos {
        self.postgres.error_bound().unwrap_or_default()
    }

    /// Error bound of a hop; `None` where a clock is not known. `by_broker`: records have the broker's time.
    pub(super) fn bound(
        &self,
        hop: ObservedHop,
        by_broker: bool,
        last: LastStamp,
    ) -> Option<Nanos> {
        let postgres = self.postgres_bound();
        let connect = self.connect.bound(postgres);
        let stamped = if by_broker {
            self.broker.bound(postgres)
        } else {
            connect
        };
        let appended = stamped.map(|bound| bound + HALF_MILLISECOND);
        let end = match last {
            LastStamp::Kafka => appended,
            LastStamp::Group(half) => Some(half),
            LastStamp::Sink => self.sink.bound_of_end(),
        };
        match hop {
            ObservedHop::Debezium => Some(postgres + connect?),
            ObservedHop::Produce => Some(connect? + appended?),
            ObservedHop::Consume => Some(appended? + end?),
            ObservedHop::Total => Some(postgres + end?),
            ObservedHop::Capture | ObservedHop::Insert => Some(postgres),
            ObservedHop::Deliver => appended,
            ObservedHop::FromInsert => end,
            ObservedHop::Receive | ObservedHop::Store => Some(appended? + self.sink.bound()?),
            ObservedHop::Process => Some(self.sink.resolution()),
        }
    }

    /// The clocks as the report has them.
    pub(super) fn report(&self) -> Vec<ClockReport> {
        let postgres = self.postgres_bound();
        let of_changes = "causality: each change was there after its commit and before our reader had its record (nothing is written to the broker, so its clock cannot be asked)";
        let mut clocks = vec![clock_report(
            "postgres",
            &self.postgres,
            postgres,
            "round trips to clock_timestamp(), intersected",
        )];
        for (server, clock) in [("kafka", &self.broker), ("connect", &self.connect)] {
            let Some(bound) = clock.bound(postgres) else {
                continue;
            };
            clocks.push(if clock.is_shared {
                let method =
                    "taken for PostgreSQL's: all servers are on this host, and no change contradicts it";
                clock_report(server, &self.postgres, bound, method)
            } else {
                clock_report(server, &clock.track, bound, of_changes)
            });
        }
        clocks.extend(self.sink.report());
        clocks
    }
}
