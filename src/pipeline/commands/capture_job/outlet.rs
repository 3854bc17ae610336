//! Where a capture delivers changes: lines, or records into Kafka.

use super::lines::{LineOutlet, LineOutletEnd};
use super::records::{RecordOutlet, RecordOutletEnd};
use super::state::CaptureState;
use crate::pipeline::failure::Failure;
use crate::pipeline::run::ack_tracker::AckUnit;
use pgcdc::{Acknowledger, Change, Commit};
use pgcdc_debezium::EnvelopeError;
use std::ops::ControlFlow;

/// Takes changes, on the reader's thread. When it breaks, its [`OutletEnd`] has the reason.
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

    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.commit(commit),
            Self::Kafka(records) => records.commit(commit),
        }
    }

    pub(super) fn whole(&mut self, whole: AckUnit) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.pass_on(Some(whole)),
            Self::Kafka(records) => {
                records.whole(whole);
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
pub(super) enum OutletEnd {
    Lines(LineOutletEnd),
    Kafka(RecordOutletEnd),
}

impl OutletEnd {
    pub(super) fn go_to(&self, acknowledger: Acknowledger, state: &CaptureState) {
        match self {
            Self::Lines(_) => drop(state.acknowledger.set(acknowledger)),
            Self::Kafka(end) => end.go_to(acknowledger),
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
