//! The answers of all servers, by tap.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pipeline::Pulse;

/// A server that leaves a question unanswered for longer than this stands still, or is away.
const LONGEST: Duration = Duration::from_secs(2);

/// What has changed with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) enum PulseChange {
    /// It answers nothing any more.
    Silent {
        server: String,
        silence: Duration,
        reason: Option<String>,
    },
    /// It answers again.
    Returned { server: String, silence: Duration },
    /// It was silent, and nothing depends on it any more.
    Replaced { server: String },
}

/// The answers of all servers. Whoever asks a server writes; health and report look.
#[derive(Debug, Default)]
pub(in crate::observe) struct Pulses {
    pulses: Mutex<Vec<Pulse>>,
    replaced: Mutex<Vec<String>>,
}

impl Pulses {
    fn lock(&self) -> MutexGuard<'_, Vec<Pulse>> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replaced(&self) -> MutexGuard<'_, Vec<String>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, tap: &'static str, server: &str, change: impl FnOnce(&mut Pulse, Instant)) {
        let now = Instant::now();
        let mut pulses = self.lock();
        let is_it = |pulse: &&mut Pulse| pulse.tap == tap && pulse.server == server;
        match pulses.iter_mut().find(is_it) {
            Some(pulse) => change(pulse, now),
            None => {
                let mut pulse = Pulse::new(tap, server.to_owned(), LONGEST, now);
                change(&mut pulse, now);
                pulses.push(pulse);
            }
        }
    }

    /// A server that a tap needs is asked.
    pub(super) fn asked(&self, tap: &'static str, server: &str) {
        self.with(tap, server, Pulse::asked);
    }

    /// It has answered.
    pub(super) fn answered(&self, tap: &'static str, server: &str) {
        self.with(tap, server, Pulse::answered);
    }

    /// It has not answered, or could not be asked.
    pub(super) fn failed(&self, tap: &'static str, server: &str, reason: String) {
        self.with(tap, server, |pulse, _| pulse.failed(reason));
    }

    /// A tap needs these servers and no others any more.
    pub(super) fn needs(&self, tap: &'static str, servers: &[String]) {
        let mut pulses = self.lock();
        let is_gone = |pulse: &mut Pulse| pulse.tap == tap && !servers.contains(&pulse.server);
        let gone = pulses.extract_if(.., is_gone);
        let gone = gone.filter(Pulse::is_told).map(|pulse| pulse.server);
        self.replaced().extend(gone);
    }

    /// What is wrong with a server that this tap needs.
    pub(in crate::observe) fn trouble(&self, tap: &str) -> Option<String> {
        let now = Instant::now();
        let pulses = self.lock();
        let mut of_tap = pulses.iter().filter(|pulse| pulse.tap == tap);
        of_tap.find_map(|pulse| pulse.trouble(now))
    }

    /// What has changed since the last call.
    pub(in crate::observe) fn take_changes(&self) -> Vec<PulseChange> {
        let now = Instant::now();
        let mut changes = Vec::new();
        for pulse in &mut *self.lock() {
            if let Some(silence) = pulse.take_return() {
                let server = pulse.server.clone();
                changes.push(PulseChange::Returned { server, silence });
            }
            if let Some((silence, reason)) = pulse.take_silence(now) {
                changes.push(PulseChange::Silent {
                    server: pulse.server.clone(),
                    silence,
                    reason,
                });
            }
        }
        let replaced = std::mem::take(&mut *self.replaced());
        let replaced = replaced.into_iter();
        changes.extend(replaced.map(|server| PulseChange::Replaced { server }));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_has_the_trouble_of_the_servers_that_it_needs() {
        let pulses = Pulses::default();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
        pulses.with("topics", "broker 1", |pulse, _| pulse.asked(long_ago));
        pulses.asked("topics", "broker 2");
        pulses.asked("sink", "MongoDB");
        assert!(pulses.trouble("topics").unwrap().contains("broker 1"));
        assert_eq!(pulses.trouble("sink"), None);
        let changes = pulses.take_changes();
        assert!(
            matches!(&changes[..], [PulseChange::Silent { server, .. }] if server == "broker 1"),
            "{changes:?}"
        );
        assert_eq!(pulses.take_changes(), []);
        pulses.needs("topics", &["broker 2".to_owned()]);
        assert_eq!(pulses.trouble("topics"), None);
        let server = "broker 1".to_owned();
        assert_eq!(pulses.take_changes(), [PulseChange::Replaced { server }]);
    }
}
