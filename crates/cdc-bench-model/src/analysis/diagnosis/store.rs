//! The document store: its write concern, and the size of its writes.

use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::ms;
use crate::timeline::Hop;

/// A quick write is nothing to look into.
const QUICK: i64 = 2_000;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    [write(evidence), batch(evidence)]
        .into_iter()
        .flatten()
        .collect()
}

fn write(evidence: Evidence<'_>) -> Option<Finding> {
    let (processing, write) = (evidence.hop(Hop::Processing)?, evidence.hop(Hop::Write)?);
    if !evidence.is_slowest(Hop::Processing) || write.p50 * 2 < processing.p50 || write.p50 < QUICK
    {
        return None;
    }
    Some(Finding::new(
        Some(Hop::Processing),
        Severity::Info,
        format!(
            "the write itself is {} of {} at the median, on {} at {}",
            ms(write.p50),
            ms(processing.p50),
            evidence.conditions.store,
            evidence.conditions.write_concern
        ),
        "a weaker write concern (w=1&journal=false in MONGODB_URI) trades safety for time; a faster disk for the store's journal, or a nearer store, keeps it",
    ))
}

/// Events that wait for the write before theirs.
#[allow(clippy::cast_precision_loss)] // a setting
fn batch(evidence: Evidence<'_>) -> Option<Finding> {
    let transform = evidence.hop(Hop::Transform)?;
    let write = evidence.hop(Hop::Write)?;
    if !evidence.is_slow(Hop::Processing) || transform.p50 < QUICK || transform.p50 * 2 < write.p50
    {
        return None;
    }
    let (together, most) = (
        evidence.path.events_per_write(),
        evidence.conditions.batch_size,
    );
    // Writes that are full make the others wait; those that are not, are bound by the store.
    let (evidence, advice) = if together >= most as f64 * 0.8 {
        (
            format!(
                "records waited {} at the median for the write before theirs, and writes were full: {together:.0} documents of at most {most} (BATCH_SIZE)",
                ms(transform.p50)
            ),
            "raise BATCH_SIZE (--batch-size): a larger write costs little more than a small one",
        )
    } else {
        (
            format!(
                "records waited {} at the median for the write before theirs; a write took {} with {together:.1} documents in it",
                ms(transform.p50),
                ms(write.p50)
            ),
            "the store takes fewer writes a second than events arrive: a faster store, a weaker write concern, or more consumers in the group",
        )
    };
    let finding = Finding::new(Some(Hop::Processing), Severity::Warning, evidence, advice);
    Some(finding.gaining(transform.p50))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Run;

    #[test]
    fn a_slow_write_is_told_with_its_write_concern() {
        let run = Run::of(|_| [300, 700, 1_500, 2_200, 2_900, 3_000, 30_000, 0]);
        assert!(run.has_evidence("on MongoDB 8.0.4 at majority+journal"));
        assert!(!run.has_evidence("for the write before theirs"));
        assert!(!Run::quick().has_evidence("the write itself"));
    }

    #[test]
    fn full_writes_are_told_from_a_slow_store() {
        let waiting = |_| [300, 700, 1_500, 2_200, 2_900, 40_000, 60_000, 0];
        assert!(Run::of(waiting).has_evidence("with 1.0 documents in it"));
        let mut full = Run::of(waiting);
        full.batch = 100;
        assert!(full.has_evidence("writes were full: 100 documents of at most 100"));
        assert!(!Run::quick().has_evidence("for the write before theirs"));
    }
}
