//! When the application sent its statements, as it says itself. Its lines and the changes of the WAL meet by table and key, in the
//! order of that row's changes, whichever comes first; a change that has its line and its last stamp has two more hops.

mod counts;
mod line;
mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

pub use self::counts::SourceLineCounts;
pub use self::line::{SentChange, SourceLine};
use self::row::{Meeting, RowLines, WaitingChange};
use super::event_metrics::resolution;
use super::{CapturedChange, ObservedChange};
use crate::analysis::SignedHistogram;
use crate::timeline::{ClockOffset, Nanos, OffsetEstimator, OffsetLine, Stamp};

/// How long a change waits for its line, and a line for its change.
const PATIENCE: Nanos = Nanos::from_millis(30_000);

type Row = (Arc<str>, Arc<str>);

/// A change, until it has both its line and its last stamp.
#[derive(Debug)]
struct Change {
    row: Row,
    lsn: u64,
    line: Option<SourceLine>,
    ended: Option<Ended>,
    /// Whether it comes to an end here: not every change does where a sample is followed.
    is_followed: bool,
}

/// What the joiner knows of it in the end.
#[derive(Debug, Clone, Copy)]
struct Ended {
    tc: Stamp,
    end: Stamp,
    weight: u64,
}

/// The application's lines and the changes that they are of.
#[derive(Debug)]
pub struct SourceLines {
    limit: usize,
    rows: HashMap<Row, RowLines>,
    changes: BTreeMap<u64, Change>,
    next: u64,
    by_lsn: HashMap<u64, Vec<u64>>,
    /// Changes that came without a line, by when we had them.
    unsaid: VecDeque<(Stamp, u64)>,
    /// Lines that came before their change, by when.
    early: VecDeque<(Stamp, Row)>,
    clock: OffsetLine,
    /// How far that clock may be off; nothing is known of it at first.
    slack: Option<Nanos>,
    bounds: OffsetEstimator,
    has_microseconds: bool,
    acknowledged: SignedHistogram,
    counts: SourceLineCounts,
    sent: Vec<SentChange>,
}

impl SourceLines {
    /// Without lines yet. At most `limit` changes, and as many lines, wait.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            rows: HashMap::new(),
            changes: BTreeMap::new(),
            next: 0,
            by_lsn: HashMap::new(),
            unsaid: VecDeque::new(),
            early: VecDeque::new(),
            clock: OffsetLine::default(),
            slack: None,
            bounds: OffsetEstimator::default(),
            has_microseconds: false,
            acknowledged: SignedHistogram::default(),
            counts: SourceLineCounts::default(),
            sent: Vec::new(),
        }
    }

    /// A change of the WAL, committed at `tc` on our clock, which is known to `bound`. `is_followed`: it is in the sample.
    pub fn captured(
        &mut self,
        change: &CapturedChange,
        (tc, bound): (Stamp, Nanos),
        is_followed: bool,
    ) {
        let Some(lsn) = change.id.lsn else { return };
        let row = (Arc::clone(&change.id.table), Arc::clone(&change.id.key));
        let number = self.next;
        self.next += 1;
        let waiting = WaitingChange { number, tc, bound };
        let lines = self.rows.entry(row.clone()).or_default();
        let meeting = lines.change(waiting, &self.clock, self.slack);
        self.changes.insert(
            number,
            Change {
                row,
                lsn,
                line: None,
                ended: None,
                is_followed,
            },
        );
        self.by_lsn.entry(lsn).or_default().push(number);
        self.unsaid.push_back((change.t1, number));
        self.meet(meeting);
        let unsaid = |changes: &BTreeMap<u64, Change>, number| {
            let change: Option<&Change> = changes.get(&number);
            change.is_some_and(|change| change.line.is_none())
        };
        while let Some((_, number)) = self.unsaid.front()
            && !unsaid(&self.changes, *number)
        {
            self.unsaid.pop_front();
        }
        if self.changes.len() > self.limit
            && let Some((oldest, _)) = self.changes.first_key_value()
        {
            let oldest = *oldest;
            self.remove(oldest);
            self.counts.not_kept += 1;
        }
    }

    /// A line of the application's.
    pub fn line(&mut self, line: SourceLine) {
        self.counts.read += 1;
        let readings = [Some(line.inserted), line.returned];
        self.has_microseconds |= readings
            .into_iter()
            .flatten()
            .any(|reading| resolution(reading) < Nanos::from_millis(1));
        while let Some((_, row)) = self.early.front()
            && !self.rows.get(row).is_some_and(RowLines::has_lines)
        {
            self.early.pop_front();
        }
        if self.early.len() >= self.limit {
            self.counts.not_kept += 1;
            return;
        }
        let row = (Arc::clone(&line.table), Arc::clone(&line.key));
        let reported = line.reported;
        let lines = self.rows.entry(row.clone()).or_default();
        let meeting = lines.line(line, &self.clock, self.slack);
        if lines.has_lines() {
            self.early.push_back((reported, row));
        }
        self.meet(meeting);
    }

    fn meet(&mut self, meeting: Meeting) {
        self.counts.without_change += meeting.lines_without_change;
        for number in meeting.changes_without_line {
            self.remove(number);
            self.counts.without_line += 1;
        }
        let Some((line, change)) = meeting.pair else {
            return;
        };
        self.counts.joined += 1;
        if let Some(returned) = line.returned {
            self.acknowledged.record(returned - line.inserted);
            if meeting.is_only {
                // Committed before it returned, and it returned before its line was here.
                let earliest = change.tc - change.bound;
                let reading = resolution(returned);
                self.bounds
                    .observe(earliest, line.reported, returned, reading);
            }
        }
        if let Some(found) = self.changes.get_mut(&change.number) {
            found.line = Some(line);
        }
        self.leave(change.number);
    }

    /// A change has its last stamp.
    pub fn completed(&mut self, change: &ObservedChange) {
        let Some(numbers) = change.id.lsn.and_then(|lsn| self.by_lsn.get(&lsn)) else {
            return;
        };
        let open = || {
            let open = numbers
                .iter()
                .filter_map(|n| Some((*n, self.changes.get(n)?)));
            open.filter(|(_, known)| known.ended.is_none() && known.row.0 == change.id.table)
        };
        // A record may have its key in another form than the WAL.
        let same = open().find(|(_, known)| known.row.1 == change.id.key);
        let Some(number) = same.or_else(|| open().next()).map(|(number, _)| number) else {
            return;
        };
        if let Some(known) = self.changes.get_mut(&number) {
            let total = change.stamps.hops().total;
            known.ended = Some(Ended {
                tc: change.stamps.tc,
                end: change.stamps.tc + total,
                weight: change.weight,
            });
        }
        self.leave(number);
    }

    /// Lets a change go that has all that it will have.
    fn leave(&mut self, number: u64) {
        let Some(change) = self.changes.get(&number) else {
            return;
        };
        let Some(line) = &change.line else { return };
        if let Some(ended) = change.ended {
            let t0 = self.clock.to_ours(line.inserted);
            self.sent.push(SentChange {
                table: Arc::clone(&change.row.0),
                insert: ended.tc - t0,
                from_insert: ended.end - t0,
                weight: ended.weight,
            });
        } else if change.is_followed {
            return;
        }
        self.remove(number);
    }

    fn remove(&mut self, number: u64) {
        let Some(change) = self.changes.remove(&number) else {
            return;
        };
        if let Some(numbers) = self.by_lsn.get_mut(&change.lsn) {
            numbers.retain(|known| *known != number);
            if numbers.is_empty() {
                self.by_lsn.remove(&change.lsn);
            }
        }
        if let Some(lines) = self.rows.get_mut(&change.row) {
            lines.remove(number);
            if lines.is_empty() {
                self.rows.remove(&change.row);
            }
        }
    }

    /// Gives up what has waited for too long at `now`.
    pub fn judge(&mut self, now: Stamp) {
        self.give_up(now - PATIENCE);
    }

    /// Gives up everything that waits: no more lines come.
    pub fn finish(&mut self) {
        self.give_up(Stamp(i64::MAX));
    }

    fn give_up(&mut self, until: Stamp) {
        while let Some((_, number)) = self.unsaid.pop_front_if(|(since, _)| *since <= until) {
            let change = self.changes.get(&number);
            if change.is_some_and(|change| change.line.is_none()) {
                self.remove(number);
                self.counts.without_line += 1;
            }
        }
        while let Some((since, row)) = self.early.pop_front_if(|(since, _)| *since <= until) {
            if let Some(lines) = self.rows.get_mut(&row) {
                self.counts.without_change += lines.forget_lines(since);
                if lines.is_empty() {
                    self.rows.remove(&row);
                }
            }
        }
    }

    /// Whether changes that have ended wait for their lines.
    #[must_use]
    pub fn waits_for_lines(&self) -> bool {
        let mut changes = self.changes.values();
        changes.any(|change| change.ended.is_some())
    }

    /// The changes since the last call that have two more hops.
    pub fn take_sent(&mut self) -> Vec<SentChange> {
        std::mem::take(&mut self.sent)
    }

    /// What was counted, and how long the statements took by the application's own clock; the count begins anew.
    pub fn take_counts(&mut self) -> (SourceLineCounts, SignedHistogram) {
        let acknowledged = std::mem::take(&mut self.acknowledged);
        (std::mem::take(&mut self.counts), acknowledged)
    }

    /// The counters, for what only the tap sees.
    pub fn counts_mut(&mut self) -> &mut SourceLineCounts {
        &mut self.counts
    }

    /// Corrects the application's stamps by this from now on, and takes them for right to `slack`.
    pub fn correct(&mut self, clock: OffsetLine, slack: Option<Nanos>) {
        (self.clock, self.slack) = (clock, slack);
    }

    /// What the lines since the last call say of the offset of the application's clock.
    pub fn take_clock_bound(&mut self) -> Option<ClockOffset> {
        std::mem::take(&mut self.bounds).estimate()
    }

    /// The resolution of that clock, as far as its readings show it.
    #[must_use]
    pub fn resolution(&self) -> Nanos {
        if self.has_microseconds {
            Nanos::from_micros(1)
        } else {
            Nanos::from_millis(1)
        }
    }
}
