//! How long a server of a run may answer nothing: what waits for an answer elsewhere need not have a limit of its own.

use std::fmt;
use std::time::{Duration, Instant};

use crate::pipeline::failure::Failure;

/// Judges a server by its answers.
#[derive(Debug)]
pub(super) struct SilenceTimer {
    server: &'static str,
    limit: Duration,
    last: Instant,
    is_told: bool,
}

impl SilenceTimer {
    /// It has answered just now.
    pub(super) fn new(server: &'static str, limit: Duration) -> Self {
        Self {
            server,
            limit,
            last: Instant::now(),
            is_told: false,
        }
    }

    /// It has answered.
    pub(super) fn answered(&mut self) {
        self.last = Instant::now();
        self.is_told = false;
    }

    /// It has not. The failure of the run, when that has been so for too long; a silence is logged when it begins.
    pub(super) fn unanswered(
        &mut self,
        address: &dyn fmt::Display,
        why: &dyn fmt::Display,
    ) -> Option<Failure> {
        let (server, limit) = (self.server, self.limit);
        if self.last.elapsed() < limit {
            if !std::mem::replace(&mut self.is_told, true) {
                tracing::warn!(%why, %address, "{server} does not answer; it is waited for up to {} s", limit.as_secs());
            }
            return None;
        }
        Some(Failure::server(anyhow::anyhow!(
            "{server} at {address} has answered nothing for {} s ({why}; --max-silence); see its log and start it again: the run ends, and \"cdc-bench cleanup\" removes what it leaves there",
            limit.as_secs()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_given_up_only_after_its_time() {
        let mut patient = SilenceTimer::new("PostgreSQL", Duration::from_secs(3_600));
        assert!(patient.unanswered(&"db:5432", &"timed out").is_none());
        let mut hasty = SilenceTimer::new("the store", Duration::ZERO);
        let failure = hasty.unanswered(&"db:27017", &"timed out").unwrap();
        assert_eq!(failure.exit_code(), 3);
        for part in [
            "the store at db:27017",
            "nothing for 0 s",
            "timed out",
            "cleanup",
        ] {
            assert!(failure.to_string().contains(part), "{part}: {failure}");
        }
    }
}
