//! The changes of one row that wait for their lines, and its lines that wait for their changes.

use std::collections::VecDeque;

use super::line::SourceLine;
use crate::timeline::{Nanos, OffsetLine, Stamp};

/// A change that waits for its line.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitingChange {
    pub(super) number: u64,
    /// When it was committed, on our clock, and to what bound.
    pub(super) tc: Stamp,
    pub(super) bound: Nanos,
}

/// What has come of a line or a change.
#[derive(Debug, Default)]
pub(super) struct Meeting {
    pub(super) pair: Option<(SourceLine, WaitingChange)>,
    /// Whether there was no other that either could have met.
    pub(super) is_only: bool,
    pub(super) changes_without_line: Vec<u64>,
    pub(super) lines_without_change: u64,
}

/// How a line and a change lie in time.
enum Order {
    Fit,
    /// The change was committed before the line's statement was sent.
    ChangeIsEarlier,
    /// The line's statement had returned before the change was committed.
    LineIsEarlier,
}

fn order(
    line: &SourceLine,
    change: &WaitingChange,
    clock: &OffsetLine,
    slack: Option<Nanos>,
) -> Order {
    // Of a clock that is not known, their order is all there is.
    let Some(slack) = slack else {
        return Order::Fit;
    };
    let slack = slack + change.bound;
    let returned = line.returned.map(|returned| clock.to_ours(returned));
    if clock.to_ours(line.inserted) - slack > change.tc {
        Order::ChangeIsEarlier
    } else if returned.is_some_and(|returned| returned + slack < change.tc) {
        Order::LineIsEarlier
    } else {
        Order::Fit
    }
}

/// One row's. Of the two queues one is empty.
#[derive(Debug, Default)]
pub(super) struct RowLines {
    changes: VecDeque<WaitingChange>,
    /// In the order of their statements.
    lines: VecDeque<SourceLine>,
}

impl RowLines {
    /// A change of the row: it meets the first line that it may be of.
    pub(super) fn change(
        &mut self,
        change: WaitingChange,
        clock: &OffsetLine,
        slack: Option<Nanos>,
    ) -> Meeting {
        let mut meeting = Meeting {
            is_only: self.lines.len() == 1,
            ..Meeting::default()
        };
        while let Some(line) = self.lines.front() {
            match order(line, &change, clock, slack) {
                Order::Fit => {
                    meeting.pair = self.lines.pop_front().map(|line| (line, change));
                    return meeting;
                }
                Order::LineIsEarlier => {
                    self.lines.pop_front();
                    meeting.lines_without_change += 1;
                }
                Order::ChangeIsEarlier => {
                    meeting.changes_without_line.push(change.number);
                    return meeting;
                }
            }
        }
        self.changes.push_back(change);
        meeting
    }

    /// A line of the row: it meets the first change that may be its.
    pub(super) fn line(
        &mut self,
        line: SourceLine,
        clock: &OffsetLine,
        slack: Option<Nanos>,
    ) -> Meeting {
        let mut meeting = Meeting {
            is_only: self.changes.len() == 1,
            ..Meeting::default()
        };
        while let Some(change) = self.changes.front() {
            match order(&line, change, clock, slack) {
                Order::Fit => {
                    meeting.pair = self.changes.pop_front().map(|change| (line, change));
                    return meeting;
                }
                Order::ChangeIsEarlier => {
                    meeting.changes_without_line.push(change.number);
                    self.changes.pop_front();
                }
                Order::LineIsEarlier => {
                    meeting.lines_without_change += 1;
                    return meeting;
                }
            }
        }
        // Writers side by side write their lines out of order.
        let later = self.lines.iter().rev();
        let later = later.take_while(|other| other.inserted > line.inserted);
        let place = self.lines.len() - later.count();
        self.lines.insert(place, line);
        meeting
    }

    pub(super) fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lines.is_empty()
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.changes.retain(|change| change.number != number);
    }

    /// Forgets lines that came until `until`; how many.
    pub(super) fn forget_lines(&mut self, until: Stamp) -> u64 {
        let before = self.lines.len();
        self.lines.retain(|line| line.reported > until);
        u64::try_from(before - self.lines.len()).unwrap_or(u64::MAX)
    }
}
