//! The clock of a program that writes lines. It cannot be asked: what is known of each line's stamps bounds it. Lines that come by
//! a file, a pipe or a socket are of a process on this host, so its clock is this host's, unless a line contradicts that.

use std::time::{SystemTime, UNIX_EPOCH};

use cdc_bench_model::report::ClockReport;
use cdc_bench_model::timeline::{
    Clock, ClockOffset, ClockTrack, Nanos, OffsetEstimator, OffsetLine, Stamp,
};

use super::clock_report::clock_report;
use super::lines_source::LinesSource;

/// Readings of this host's clock at a measurement.
const READINGS: u32 = 8;

/// The clock of a program that writes lines.
pub(super) struct LineClock {
    name: &'static str,
    /// What bounds it where it is not this host's.
    causality: &'static str,
    clock: Clock,
    lines: ClockTrack,
    /// This host's, while it is taken for that.
    host: ClockTrack,
    is_host: bool,
    resolution: Nanos,
}

impl LineClock {
    /// Of lines from this source; in the report it has the program's `name`, and `causality` says what bounds it where it is not
    /// this host's.
    pub(super) fn of(
        name: &'static str,
        causality: &'static str,
        source: &LinesSource,
        clock: Clock,
    ) -> Self {
        Self {
            name,
            causality,
            clock,
            lines: ClockTrack::default(),
            host: ClockTrack::default(),
            is_host: !matches!(source, LinesSource::Topic(_)),
            resolution: Nanos(0),
        }
    }

    /// Takes what the lines since the last measurement say. Returns what its stamps are corrected by from now on.
    pub(super) fn measure(
        &mut self,
        now: Stamp,
        by_lines: Option<ClockOffset>,
        resolution: Nanos,
    ) -> OffsetLine {
        if let Some(offset) = by_lines {
            self.lines.observe(now, offset);
        }
        self.resolution = resolution;
        if let Some(offset) = self.ask_host() {
            self.host.observe(now, offset);
        }
        let of_host = self.host.line().unwrap_or_default();
        if self.is_host && !self.lines.allows(now, of_host.offset_at(now)) {
            self.is_host = false;
            let name = self.name;
            tracing::warn!("the lines of the {name} have another clock than this host's");
        }
        let line = if self.is_host {
            of_host
        } else {
            self.lines.line().unwrap_or_default()
        };
        self.host.use_line(now, of_host);
        self.lines.use_line(now, line);
        line
    }

    fn ask_host(&self) -> Option<ClockOffset> {
        let mut estimator = OffsetEstimator::default();
        for _ in 0..READINGS {
            let sent = self.clock.now();
            if let Ok(reading) = SystemTime::now().duration_since(UNIX_EPOCH) {
                let reading = i64::try_from(reading.as_nanos()).unwrap_or(i64::MAX);
                estimator.observe(sent, self.clock.now(), Stamp(reading), Nanos(1));
            }
        }
        estimator.estimate()
    }

    fn track(&self) -> &ClockTrack {
        if self.is_host {
            &self.host
        } else {
            &self.lines
        }
    }

    /// Error bound of its stamps; `None` where nothing is known of it.
    pub(super) fn bound(&self) -> Option<Nanos> {
        Some(self.track().error_bound()? + self.resolution)
    }

    /// The resolution of its stamps.
    pub(super) fn resolution(&self) -> Nanos {
        self.resolution
    }

    /// The clock as the report has it.
    pub(super) fn report(&self) -> Option<ClockReport> {
        let method = if self.is_host {
            "taken for this host's, where its lines come from, and no line contradicts it"
        } else {
            self.causality
        };
        Some(clock_report(self.name, self.track(), self.bound()?, method))
    }
}
