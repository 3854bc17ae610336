//! What a run goes on with that was cut off and is taken up again.

use std::time::Duration;

use cdc_bench_model::RunId;
use jiff::Timestamp;

/// A run that is taken up again: its events from now on are a part of their own, told by another `run_id`, so that those before the
/// break are written and verified, and only those after it are measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumption {
    /// The number of this part, from 2.
    pub part: u32,
    /// Measured events that the parts before have in the outbox.
    pub events_before: u64,
    /// Time from the first to the last of them.
    pub span_before: Duration,
    /// Sequence number of the next event.
    pub next_seq: u64,
    /// When event 0 of the generator takes place.
    pub epoch: Timestamp,
    /// When the last event before the break was committed, on PostgreSQL's clock; `None` if there was none.
    pub last_commit: Option<Timestamp>,
}

/// The `run_id` of the measured events of a part of a run, from 1.
pub(crate) fn run_id_of_part(run: &RunId, part: u32) -> String {
    let again = "-resumed".repeat(usize::try_from(part.saturating_sub(1)).unwrap_or_default());
    format!("{run}{again}")
}

/// The same of every part before this one.
pub(crate) fn run_ids_before(run: &RunId, part: u32) -> Vec<String> {
    (1..part).map(|part| run_id_of_part(run, part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_run_has_a_name_that_begins_with_the_runs() {
        let run = RunId::parse("r").unwrap();
        assert_eq!(run_id_of_part(&run, 1), "r");
        assert_eq!(run_ids_before(&run, 1), [""; 0]);
        assert_eq!(
            run_ids_before(&run, 4),
            ["r", "r-resumed", "r-resumed-resumed"]
        );
    }
}
