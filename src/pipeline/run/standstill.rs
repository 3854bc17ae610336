//! A path through which nothing comes any more: whichever server stands still, and whether or not one says so, its run ends.

use std::time::{Duration, Instant};

use crate::pipeline::failure::Failure;
use crate::pipeline::monitor::postgres_guard::PostgresGuard;
use crate::pipeline::monitor::server_monitor::ServerStatus;
use crate::pipeline::run::context::ActivePath;
use crate::pipeline::run::observer::PathObserver;

/// How much longer a path may stand still than a server may be silent: where one is, that is told instead.
const GRACE: Duration = Duration::from_secs(10);

/// Judges the paths of a trial by what comes through them while their load goes on.
#[derive(Debug)]
pub(crate) struct StandstillGuard {
    /// Longest time in which nothing comes through although events are under way.
    limit: Duration,
    /// By path: what had come through, and since when that is so.
    paths: Vec<(u64, Instant)>,
}

impl StandstillGuard {
    /// Of so many paths, on servers that may be silent for so long.
    pub(crate) fn new(paths: usize, silence: Duration) -> Self {
        Self {
            limit: silence.saturating_add(GRACE),
            paths: vec![(0, Instant::now()); paths],
        }
    }

    /// Looks at the paths, of which `waiting` says how many events are under way; what is known of servers and slots is told as the
    /// reason.
    ///
    /// # Errors
    /// When nothing has come through one of them for too long.
    pub(crate) fn check(
        &mut self,
        paths: &[ActivePath],
        waiting: impl Fn(&PathObserver) -> u64,
        (servers, slots): (&ServerStatus, &PostgresGuard<'_>),
    ) -> Result<(), Failure> {
        for (path, last) in paths.iter().zip(&mut self.paths) {
            let waiting = waiting(&path.observer);
            let through = path.observer.passed();
            if through != last.0 || waiting == 0 {
                *last = (through, Instant::now());
            }
            if last.1.elapsed() < self.limit {
                continue;
            }
            let mut reasons = servers.troubles_of(path.route.path);
            let of_path = path.route.slots();
            reasons.extend(of_path.filter_map(|slot| slots.describe(slot)));
            if reasons.is_empty() {
                reasons.push("every server answers: see run.log and the servers' logs".to_owned());
            }
            return Err(Failure::server(anyhow::anyhow!(
                "nothing has come through capture path {} for {} s, and {waiting} events wait (--max-silence); {}; the run ends: let what stands still \
                 go on or start it again, or allow more",
                path.route.path,
                last.1.elapsed().as_secs(),
                reasons.join("; ")
            )));
        }
        Ok(())
    }
}
