//! What the taps have seen, handed on to the joiner and to those that count.

use cdc_bench_model::observation::CapturedChange;
use cdc_bench_model::timeline::Nanos;

use super::Watch;
use crate::broker::OffsetPoll;
use crate::observe::taps::sighting::{LeftOut, Passed, Sighting};

impl Watch {
    /// What a tap has seen.
    pub(super) fn take(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Captured(change) => {
                if let Some(canary) = &mut self.canary {
                    canary.watch.captured(&change);
                }
                self.tallies.captured(&change);
                self.said_of(&change);
                self.joiner.captured(change);
            }
            Sighting::LeftOut(kind) => {
                let filtered = &mut self.joiner.counts_mut().filtered;
                match kind {
                    LeftOut::Table => filtered.other_tables += 1,
                    LeftOut::Operation => filtered.skipped_operations += 1,
                    LeftOut::Message => filtered.messages += 1,
                }
            }
            Sighting::WalRead(until) => self.wal_read_until = Some(until),
            Sighting::Recorded(change) => {
                if let Some(canary) = &mut self.canary {
                    canary.watch.recorded(&change);
                }
                self.joiner.recorded(change);
            }
            Sighting::Passed(position, kind) => {
                self.joiner.seen(position);
                self.passed(kind);
            }
            Sighting::ReadUpTo(position) => self.joiner.read_up_to(position),
            Sighting::Unknown(position, reason) => {
                self.joiner.seen(position);
                self.joiner.counts_mut().filtered.others += 1;
                self.keep(position, &reason);
            }
            Sighting::Unreadable(position, reason) => {
                self.joiner.unreadable(position);
                self.keep(position, &reason);
                if !std::mem::replace(&mut self.has_unreadable, true) {
                    tracing::warn!(
                        ?position,
                        reason,
                        "a record cannot be read; others are counted"
                    );
                    let what = format!("the first record that could not be read: {reason}");
                    self.happened("unreadable_record", what);
                }
            }
            Sighting::Offsets(poll) => self.offsets(&poll),
            Sighting::Shown(change) => self.joiner.shown(change),
            Sighting::SinkUnreadable(wrong) => {
                self.joiner.counts_mut().sink_unreadable += 1;
                self.incidents.extend(self.lines.unreadable_in_sink(&wrong));
            }
            Sighting::Consumed(report) => {
                self.incidents.extend(self.lines.reported(&report));
                self.joiner.consumed(report);
            }
            Sighting::Line(problem) => {
                let counts = self.joiner.lines_mut();
                self.incidents.extend(self.lines.problem(counts, problem));
            }
            Sighting::Sent(line) => {
                if let Some(application) = &mut self.application {
                    application.said(line);
                }
            }
            Sighting::SourceLine(problem) => {
                let application = self.application.as_mut();
                let told = application.and_then(|application| application.problem(problem));
                self.incidents.extend(told);
            }
            Sighting::Ended(what) => {
                self.happened("input_ended", what);
                self.has_ended = true;
            }
            Sighting::Cut(tap, reason) => self.teller.cut(tap, &reason),
            Sighting::Resumed(tap, reason) => {
                self.teller.resumed(tap);
                self.has_resumed(tap, &reason);
            }
            Sighting::SinkSkipped(reason) => {
                self.joiner.sink_skipped(self.clock.now());
                self.teller.resumed("sink");
                self.has_skipped(&reason);
            }
            Sighting::Failed(reason) => self.failed = Some(reason),
        }
    }

    /// A change of the user's may have a line of the application's.
    fn said_of(&mut self, change: &CapturedChange) {
        let is_canarys = self
            .canary
            .as_ref()
            .is_some_and(|canary| canary.watch.is_of(&change.id));
        if let Some(application) = self.application.as_mut().filter(|_| !is_canarys) {
            application.captured(change, &self.joiner);
        }
    }

    fn passed(&mut self, kind: Passed) {
        let filtered = &mut self.joiner.counts_mut().filtered;
        let count = match kind {
            Passed::Tombstone => &mut filtered.tombstones,
            Passed::Heartbeat => &mut filtered.heartbeats,
            Passed::Transaction => &mut filtered.transactions,
            Passed::SchemaChange => &mut filtered.schema_changes,
            Passed::Message => &mut filtered.messages,
            Passed::OtherTable => &mut filtered.other_tables,
        };
        *count += 1;
    }

    fn offsets(&mut self, poll: &OffsetPoll) {
        self.teller.polled(poll);
        self.tallies.offsets(poll);
        if let Some(silence) = poll.silence {
            self.was_silent(silence);
        }
        if let Some((asked, answered)) = poll.asked {
            // It was passed at some time since the poll before.
            let since = self.last_poll.unwrap_or(asked);
            let at = since + Nanos((answered - since).0 / 2);
            for found in &poll.committed {
                self.joiner
                    .committed(found.topic, found.partition, found.offset, at);
            }
            self.last_poll = Some(asked);
        }
        if let Some(at) = poll.ends_at {
            for found in &poll.ends {
                self.joiner
                    .ends(found.topic, found.partition, found.offset, at);
            }
        }
    }
}
