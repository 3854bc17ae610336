//! The offsets of the servers' clocks. PostgreSQL's is asked for by round trips; Connect's and the broker's follow from the changes,
//! for nothing may be written: each handed a change on between its commit and our having its record. Servers that are all
//! reached by loopback have our clock's host, and its offset, unless a change contradicts that.

use cdc_bench_model::observation::{ObservationJoiner, ObservedHop};
use cdc_bench_model::report::ClockReport;
use cdc_bench_model::timeline::{
    Clock, ClockTrack, Corrections, HALF_MILLISECOND, Nanos, OffsetLine, Stamp,
};
use tokio_postgres::Client;

use super::sink_clock::{BrokerLine, SinkClock};
use crate::pipeline::{Failure, measure_postgres};

/// Round trips of one measurement.
const EXCHANGES: u32 = 12;
/// And of the first and the last, whose fastest set the bound.
pub(super) const EXCHANGES_AT_THE_ENDS: u32 = 60;

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
    client: Client,
    clock: Clock,
    postgres: ClockTrack,
    connect: CausalClock,
    broker: CausalClock,
    sink: SinkClock,
}

impl ObservedClocks {
    pub(super) fn new(client: Client, clock: Clock, are_shared: bool, sink: SinkClock) -> Self {
        let causal = || CausalClock {
            is_shared: are_shared,
            ..CausalClock::default()
        };
        Self {
            client,
            clock,
            postgres: ClockTrack::default(),
            connect: causal(),
            broker: causal(),
            sink,
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
        let exchanges = if at_an_end {
            EXCHANGES_AT_THE_ENDS
        } else {
            EXCHANGES
        };
        let measured = measure_postgres(&self.client, exchanges, self.clock).await;
        let now = self.clock.now();
        if let Ok(offset) = measured {
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
        measured.map(drop).map_err(Failure::from)
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
        let mut clocks = vec![report(
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
                report(server, &self.postgres, bound, method)
            } else {
                report(server, &clock.track, bound, of_changes)
            });
        }
        clocks.extend(self.sink.report());
        clocks
    }
}

fn report(server: &str, track: &ClockTrack, bound: Nanos, method: &str) -> ClockReport {
    let uneven = if track.is_uneven() {
        "; no straight line goes through the measurements: this clock was stepped, or does not run evenly"
    } else {
        ""
    };
    ClockReport {
        server: server.to_owned(),
        offset: track.first_offset().unwrap_or_default().round_micros(),
        error_bound: bound.round_micros(),
        drift: track.drift().map(Nanos::round_micros),
        drift_ppm: track
            .line()
            .map(|line| (line.drift_ppm() * 10.0).round() / 10.0),
        measurements: u64::try_from(track.measurements()).unwrap_or(u64::MAX),
        method: format!("{method}{uneven}"),
    }
}
