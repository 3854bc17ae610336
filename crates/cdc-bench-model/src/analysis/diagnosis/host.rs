//! The machine.

use super::evidence::Evidence;
use super::finding::{Finding, Severity};

/// Above this share, runnable threads wait for a processor.
const SATURATED: f64 = 0.9;
/// Warmed-up JVMs use fewer cores than this for compiling, except for moments.
const STILL_COMPILING: f64 = 0.15;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    [saturated(evidence), compiling(evidence)]
        .into_iter()
        .flatten()
        .collect()
}

fn saturated(evidence: Evidence<'_>) -> Option<Finding> {
    let busy = evidence.conditions.host_busy?;
    if busy < SATURATED {
        return None;
    }
    Some(Finding::new(
        None,
        Severity::Warning,
        format!(
            "this machine's {} cores were {:.0} % busy while events were under way: every hop waits for a core now and then",
            evidence.conditions.cores,
            busy * 100.0
        ),
        "move servers to other machines, lower --rate, or close what else runs here; compare runs only where this figure is the same",
    ))
}

/// JVMs that were just started take cores for what will be over soon.
fn compiling(evidence: Evidence<'_>) -> Option<Finding> {
    let busy = evidence.conditions.compiling_cores?;
    if busy < STILL_COMPILING {
        return None;
    }
    Some(Finding::new(
        None,
        Severity::Warning,
        format!(
            "Kafka's and Connect's JVMs kept {busy:.2} cores busy with compiling while events were under way: they were started not long ago, and get faster yet"
        ),
        "leave the warm-up to go on until they have settled (--warmup auto), or run against a stack that has been up for longer (cdc-bench stack up)",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Run;

    #[test]
    fn a_machine_without_idle_cores_is_named() {
        let mut run = Run::quick();
        run.conditions.host_busy = Some(0.97);
        assert!(run.has_evidence("2 cores were 97 % busy"));
        run.conditions.host_busy = Some(0.7);
        assert!(!run.has_evidence("busy"));
        run.conditions.host_busy = None;
        assert!(!run.has_evidence("busy"), "another machine's is not known");
    }

    #[test]
    fn jvms_that_still_compile_are_named() {
        let mut run = Run::quick();
        run.conditions.compiling_cores = Some(0.84);
        assert!(run.has_evidence("0.84 cores busy with compiling"));
        run.conditions.compiling_cores = Some(0.05);
        assert!(!run.has_evidence("compiling"));
    }
}
