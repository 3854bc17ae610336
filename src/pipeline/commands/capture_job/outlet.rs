//! Where a capture delivers changes: lines, or records into Kafka.

use super::lines::{LineOutlet, LineOutletHandle};
use super::records::{RecordOutlet, RecordOutletHandle};
use super::state::CaptureState;
use crate::pipeline::failure::Failure;
use crate::pipeline::run::ack_tracker::AckUnit;
use pgcdc::{Acknowledger, Change, Commit, LogicalMessage};
use pgcdc_debezium::EnvelopeError;
use std::ops::ControlFlow;
use tokio_util::sync::CancellationToken;

/// Takes changes, on the reader's thread. When it breaks, its [`OutletHandle`] has the reason.
pub(super) enum Outlet {
    Lines(LineOutlet),
    Kafka(RecordOutlet),
}

impl Outlet {
    pub(super) fn change(&mut self, change: &Change<'_>) -> Result<ControlFlow<()>, EnvelopeError> {
        match self {
            Self::Lines(lines) => lines.change(change),
            Self::Kafka(records) => records.change(change),
        }
    }

    pub(super) fn message(&mut self, message: &LogicalMessage<'_>) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.message(message),
            Self::Kafka(records) => records.message(message),
        }
    }

    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.commit(commit),
            Self::Kafka(records) => records.commit(commit),
        }
    }

    pub(super) fn end_unit(&mut self, unit: AckUnit) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.send_lines(Some(unit)),
            Self::Kafka(records) => {
                records.end_unit(unit);
                ControlFlow::Continue(())
            }
        }
    }

    /// Waits until everything is delivered, and acknowledges complete units.
    pub(super) fn flush(&mut self) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.flush(),
            Self::Kafka(records) => {
                records.flush();
                ControlFlow::Continue(())
            }
        }
    }
}

/// The job's side of an outlet.
pub(super) enum OutletHandle {
    Lines(LineOutletHandle),
    Kafka(RecordOutletHandle),
}

impl OutletHandle {
    pub(super) fn set_acknowledger(&self, acknowledger: Acknowledger, state: &CaptureState) {
        match self {
            Self::Lines(_) => {}
            Self::Kafka(end) => end.set_acknowledger(acknowledger.clone()),
        }
        // Called once.
        let _ = state.acknowledger.set(acknowledger);
    }

    /// Cancelled when a change could not be delivered.
    pub(super) fn failed(&self) -> CancellationToken {
        match self {
            Self::Lines(end) => end.failed(),
            Self::Kafka(end) => end.failed(),
        }
    }

    pub(super) fn flush(&self) {
        match self {
            Self::Lines(end) => end.flush(),
            Self::Kafka(end) => end.flush(),
        }
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Lines(end) => end.finish(),
            Self::Kafka(end) => end.finish(),
        }
    }
}
