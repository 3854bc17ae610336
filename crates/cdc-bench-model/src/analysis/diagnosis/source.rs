//! PostgreSQL: the commit, its checkpoints, the slot.

use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::ms;
use crate::timeline::Hop;

/// Lag, in bytes of WAL, that a slot in step with the load never has.
const LAGGING: u64 = 16 * 1024 * 1024;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    [
        unsafe_commits(evidence),
        commit(evidence),
        checkpoint(evidence),
        lagging_slot(evidence),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Commits that wait for no disk make a result that production will not show.
fn unsafe_commits(evidence: Evidence<'_>) -> Option<Finding> {
    let conditions = evidence.conditions;
    let (name, value) = [("fsync", "off"), ("synchronous_commit", "off")]
        .into_iter()
        .find(|(name, value)| conditions.postgres(name) == Some(value))?;
    let hop = evidence.hop(Hop::Capture)?;
    Some(Finding::new(
        Some(Hop::Capture),
        Severity::Warning,
        format!(
            "{name} = {value}: an INSERT is acknowledged before it is on disk, so capture ({} at the median) is shorter than where commits are safe",
            ms(hop.p50)
        ),
        format!("set {name} = on before the figures are taken for those of production"),
    ))
}

fn commit(evidence: Evidence<'_>) -> Option<Finding> {
    let capture = evidence.hop(Hop::Capture)?;
    let commit = evidence.hop(Hop::Commit)?;
    if !evidence.is_slowest(Hop::Capture) || commit.p50 * 2 < capture.p50 {
        return None;
    }
    let setting = |name: &str| evidence.conditions.postgres(name).unwrap_or("unknown");
    let finding = Finding::new(
        Some(Hop::Capture),
        Severity::Info,
        format!(
            "the INSERT's own commit is {} of {} at the median (synchronous_commit = {}, fsync = {}): the way to PostgreSQL and the flush of its WAL",
            ms(commit.p50),
            ms(capture.p50),
            setting("synchronous_commit"),
            setting("fsync")
        ),
        "a faster disk for pg_wal, a nearer server, or several rows a transaction; synchronous_commit = off only where losing the last commits in a crash is acceptable",
    );
    Some(finding.gaining(commit.p50))
}

/// A PostgreSQL checkpoint's writes delay the WAL's on the same disk.
fn checkpoint(evidence: Evidence<'_>) -> Option<Finding> {
    let checkpoints = evidence.conditions.checkpoints.filter(|c| c.count > 0)?;
    let commit = evidence.hop(Hop::Commit)?;
    if commit.p99 < commit.p50 * 10 || commit.p99 < 20_000 {
        return None;
    }
    Some(Finding::new(
        Some(Hop::Capture),
        Severity::Warning,
        format!(
            "commits took {} at p99 and {} at the median while {} checkpoints wrote and synced for {:.1} s",
            ms(commit.p99),
            ms(commit.p50),
            checkpoints.count,
            checkpoints.took.as_secs_f64()
        ),
        "fewer and gentler checkpoints: raise max_wal_size and checkpoint_timeout, keep checkpoint_completion_target at 0.9, or give pg_wal a disk of its own",
    ))
}

fn lagging_slot(evidence: Evidence<'_>) -> Option<Finding> {
    let behind = evidence
        .conditions
        .slot_lag_bytes
        .filter(|b| *b > LAGGING)?;
    Some(Finding::new(
        Some(Hop::KafkaDelivery),
        Severity::Warning,
        format!(
            "the slot was {} MiB of WAL behind when the last INSERT was acknowledged: what captures does not keep up with what is written",
            behind / (1024 * 1024)
        ),
        "lower the rate, or look for what holds the capture up; such a slot keeps WAL on the server's disk (max_slot_wal_keep_size limits it)",
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::CheckpointActivity;
    use super::super::fixture::{Run, settings};

    #[test]
    fn commits_that_wait_for_no_disk_are_named() {
        let mut run = Run::quick();
        for (name, off) in [("fsync", true), ("synchronous_commit", true)] {
            run.conditions.postgres = settings(&[(name, if off { "off" } else { "on" })]);
            assert!(run.has_evidence(&format!("{name} = off")));
        }
        run.conditions.postgres = settings(&[("fsync", "on")]);
        assert!(!run.has_evidence("before it is on disk"));
    }

    #[test]
    fn a_slow_commit_is_told_from_slow_decoding() {
        let commit = Run::of(|_| [8_000, 8_300, 8_900, 9_500, 9_900, 9_950, 11_000, 0]);
        assert!(commit.has_evidence("own commit is 8.00"));
        let gain = commit.diagnose().findings[0].expected_gain.unwrap();
        assert!((7_990..=8_010).contains(&gain), "{gain}");
        let decoding = Run::of(|_| [500, 8_300, 8_900, 9_500, 9_900, 9_950, 11_000, 0]);
        assert!(!decoding.has_evidence("own commit"));
    }

    #[test]
    fn commits_that_stall_with_a_checkpoint_are_named() {
        let stall = |n| if n % 40 == 0 { 90_000 } else { 400 };
        let mut run = Run::of(move |n| {
            [stall(n), 300, 900, 1_500, 1_900, 1_950, 2_600, 0].map(|us| us + stall(n))
        });
        assert!(!run.has_evidence("checkpoints"), "there was none");
        run.conditions.checkpoints = Some(CheckpointActivity {
            count: 2,
            took: Duration::from_millis(3_400),
        });
        assert!(run.has_evidence("2 checkpoints wrote and synced for 3.4 s"));
        let mut steady = Run::quick();
        steady.conditions.checkpoints = run.conditions.checkpoints;
        assert!(!steady.has_evidence("checkpoints"));
    }

    #[test]
    fn a_slot_that_is_behind_is_named() {
        let mut run = Run::quick();
        run.conditions.slot_lag_bytes = Some(300 * 1024 * 1024);
        assert!(run.has_evidence("300 MiB of WAL behind"));
        run.conditions.slot_lag_bytes = Some(9_000);
        assert!(!run.has_evidence("behind"));
    }
}
