//! What a consumer reports of its records. A report and its record meet by topic, partition and offset, whichever comes first.

use super::super::event_metrics::resolution;
use super::super::{Consumption, EventMetrics, LineCounts};
use super::ObservationJoiner;
use super::entry::BySink;
use crate::timeline::{ClockOffset, Nanos, OffsetLine};

impl ObservationJoiner {
    /// A consumer reports what it did with a record.
    pub fn consumed(&mut self, report: EventMetrics) {
        self.lines_mut().read += 1;
        if let Consumption::Failed(_) = report.outcome {
            self.lines_mut().errors += 1;
        }
        if let Some(key) = self.unshown.get(&report.position).copied() {
            self.take_report(key, &report);
        } else if self.partition(report.position).next <= report.position.offset
            && !self.early.keep(report)
        {
            self.lines_mut().not_kept += 1;
        }
        // Else the record is known, and is no change, not in the sample, or was reported before.
    }

    /// The counters of the consumer's lines, for what only the tap sees.
    pub fn lines_mut(&mut self) -> &mut LineCounts {
        self.counts.lines.get_or_insert_default()
    }

    /// Enters what the consumer reports of a change.
    pub(super) fn take_report(&mut self, key: u64, report: &EventMetrics) {
        let written = match &report.outcome {
            Consumption::Written(at) => *at,
            Consumption::Failed(reason) => {
                let reason = reason.clone();
                self.enter(key, |entry| entry.error = Some(reason));
                return;
            }
        };
        let readings = [Some(written), report.received];
        self.has_microseconds |= readings
            .into_iter()
            .flatten()
            .any(|reading| resolution(reading) < Nanos::from_millis(1));
        self.enter(key, |entry| {
            entry.error = None;
            entry.by_sink = Some(BySink {
                received: report.received,
                written,
                seen: report.reported,
            });
        });
        let partition = self.partition(report.position);
        partition.shown = partition.shown.max(Some(report.position.offset));
        self.complete(key);
    }

    /// Corrects the stamps of the sink's own clock, the consumer's where it reports, by this from now on.
    pub fn correct_sink(&mut self, line: OffsetLine) {
        self.sink_clock = line;
    }

    /// What the changes since the last call say of the offset of that clock.
    pub fn take_sink_clock_bound(&mut self) -> Option<ClockOffset> {
        self.causality.take_sink()
    }

    /// The resolution of that clock, as far as its readings show it.
    #[must_use]
    pub fn sink_resolution(&self) -> Nanos {
        if self.has_microseconds {
            Nanos::from_micros(1)
        } else {
            Nanos::from_millis(1)
        }
    }
}
