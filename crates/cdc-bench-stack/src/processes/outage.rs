//! A wanted outage of a server: a note beside its log, which its supervision reads, in this process or in another (a kept stack's).
//!
//! Whoever wants the outage writes the note and sends the signal. The supervision ends the outage when its time is over, also if
//! whoever wanted it is gone by then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StackError;
use crate::files::write_private;

/// How a server is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageKind {
    /// SIGKILL, to every process of it.
    Kill,
    /// The signal for an orderly shutdown.
    Stop,
    /// SIGSTOP, to every process of it, and SIGCONT.
    Pause,
}

/// What a note says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutageState {
    /// It is away, by this.
    Away(OutageKind),
    /// It was started again. What ends now ends because of the outage: processes of the dead server hold its port or its memory.
    Starting,
}

impl OutageState {
    const WORDS: [(Self, &'static str); 4] = [
        (Self::Away(OutageKind::Kill), "killed"),
        (Self::Away(OutageKind::Stop), "stopped"),
        (Self::Away(OutageKind::Pause), "paused"),
        (Self::Starting, "starting"),
    ];

    fn as_str(self) -> &'static str {
        let known = Self::WORDS.into_iter().find(|(state, _)| *state == self);
        known.map_or("", |(_, word)| word)
    }
}

/// The note of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutageNote {
    pub(super) state: OutageState,
    /// Until when, in milliseconds since the Unix epoch.
    until_ms: i64,
}

impl OutageNote {
    pub(super) fn lasting(state: OutageState, length: Duration) -> Self {
        let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        Self {
            state,
            until_ms: now_ms().saturating_add(length),
        }
    }

    /// The note of the server with this log, if there is one.
    pub(super) fn read(log: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(note_of(log)).ok()?;
        let (word, until) = text.trim().split_once(' ')?;
        let known = OutageState::WORDS.into_iter();
        let (state, _) = known.into_iter().find(|(_, known)| *known == word)?;
        Some(Self {
            state,
            until_ms: until.parse().ok()?,
        })
    }

    /// Writes it, in place of one that was there.
    pub(super) fn write(self, log: &Path) -> Result<(), StackError> {
        let (note, partial) = (note_of(log), log.with_extension("outage.new"));
        let text = format!("{} {}\n", self.state.as_str(), self.until_ms);
        write_private(&partial, text.as_bytes())?;
        std::fs::rename(&partial, &note).map_err(StackError::io("put in place", &note))
    }

    pub(super) fn remove(log: &Path) {
        // It may have been removed with its folder.
        let _ = std::fs::remove_file(note_of(log));
    }

    /// How long its time has been over, if it is.
    pub(super) fn over_for(&self) -> Option<Duration> {
        u64::try_from(now_ms() - self.until_ms)
            .ok()
            .map(Duration::from_millis)
    }
}

fn note_of(log: &Path) -> PathBuf {
    log.with_extension("outage")
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("kafka.log");
        assert_eq!(OutageNote::read(&log), None);
        for (state, _) in OutageState::WORDS {
            let note = OutageNote::lasting(state, Duration::from_secs(60));
            note.write(&log).unwrap();
            assert_eq!(OutageNote::read(&log), Some(note));
            assert_eq!(note.over_for(), None);
        }
        let over = OutageNote::lasting(OutageState::Starting, Duration::ZERO);
        assert!(over.over_for().is_some());
        OutageNote::remove(&log);
        assert_eq!(OutageNote::read(&log), None);
    }
}
