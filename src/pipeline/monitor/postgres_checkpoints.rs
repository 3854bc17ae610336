//! PostgreSQL's checkpoints, detected by changes of its counters.

use std::time::Duration;

use cdc_bench_model::analysis::CheckpointActivity;
use cdc_bench_model::timeline::{Nanos, Stamp};
use tokio_postgres::Client;

/// PostgreSQL 17 moved the counters to a view of their own. We select by version, because a failed query would appear in the
/// server's log.
const VERSION: &str = "SELECT current_setting('server_version_num')::int";
const SINCE_17: &str =
    "SELECT num_timed + num_requested, (write_time + sync_time)::float8 FROM pg_stat_checkpointer";
const BEFORE_17: &str = "SELECT checkpoints_timed + checkpoints_req, (checkpoint_write_time + checkpoint_sync_time)::float8 FROM pg_stat_bgwriter";

/// The current counters; `None` if the server does not answer.
pub(crate) async fn counters(postgres: &Client) -> Option<CheckpointActivity> {
    let version: i32 = postgres.query_one(VERSION, &[]).await.ok()?.get(0);
    let question = if version < 170_000 {
        BEFORE_17
    } else {
        SINCE_17
    };
    let row = postgres.query_one(question, &[]).await.ok()?;
    let took: f64 = row.get(1);
    Some(CheckpointActivity {
        count: u64::try_from(row.get::<_, i64>(0)).unwrap_or(0),
        took: Duration::from_secs_f64(took.max(0.0) / 1e3),
    })
}

/// A checkpoint detected in the counters; its times are as exact as the counters are polled often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PostgresCheckpoint {
    pub(crate) began: Stamp,
    /// Time of writing and syncing; `None` while it is in progress.
    pub(crate) took: Option<Duration>,
}

/// Detects checkpoints from the counters. PostgreSQL counts a checkpoint when it begins, and adds its time when it is
/// over.
#[derive(Debug, Default)]
pub(crate) struct CheckpointWatch {
    last: Option<CheckpointActivity>,
    checkpoints: Vec<PostgresCheckpoint>,
}

impl CheckpointWatch {
    /// Takes the counters as read at this time.
    pub(crate) fn observe(&mut self, at: Stamp, now: CheckpointActivity) {
        let Some(last) = self.last.replace(now) else {
            return;
        };
        let took = now.took.saturating_sub(last.took);
        let took = (!took.is_zero()).then_some(took);
        if now.count > last.count {
            // If there were several since the last look, the sum of their times.
            let began = took.map_or(at, |took| at - Nanos::from(took));
            self.checkpoints.push(PostgresCheckpoint { began, took });
        } else if let (Some(under_way), Some(took)) = (self.checkpoints.last_mut(), took) {
            under_way.took.get_or_insert(took);
        }
    }

    pub(crate) fn checkpoints(&self) -> &[PostgresCheckpoint] {
        &self.checkpoints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Stamp {
        Stamp(seconds * 1_000_000_000)
    }

    fn counters(count: u64, took_ms: u64) -> CheckpointActivity {
        let took = Duration::from_millis(took_ms);
        CheckpointActivity { count, took }
    }

    #[test]
    fn a_checkpoint_has_its_length_when_it_is_over() {
        let mut watch = CheckpointWatch::default();
        watch.observe(at(1), counters(7, 500));
        watch.observe(at(2), counters(7, 500));
        assert_eq!(watch.checkpoints(), [], "what was before is not the run's");
        // Begins and ends between two looks.
        watch.observe(at(3), counters(8, 750));
        let quick = PostgresCheckpoint {
            began: Stamp(2_750_000_000),
            took: Some(Duration::from_millis(250)),
        };
        assert_eq!(watch.checkpoints(), [quick]);
        // A long one.
        watch.observe(at(4), counters(9, 750));
        assert_eq!(watch.checkpoints()[1].took, None);
        watch.observe(at(5), counters(9, 750));
        watch.observe(at(9), counters(9, 5_750));
        let slow = PostgresCheckpoint {
            began: at(4),
            took: Some(Duration::from_secs(5)),
        };
        assert_eq!(watch.checkpoints(), [quick, slow]);
    }
}
