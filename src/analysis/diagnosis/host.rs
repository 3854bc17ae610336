//! The machine.

use super::{Evidence, Finding, Severity};

/// Beyond this, whoever is ready to work waits.
const SATURATED: f64 = 0.9;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    saturated(evidence).into_iter().collect()
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

#[cfg(test)]
mod tests {
    use super::super::fixture::Run;

    #[test]
    fn a_machine_without_idle_cores_is_named() {
        let mut run = Run::quick();
        run.conditions.host_busy = Some(0.97);
        assert!(run.says("2 cores were 97 % busy"));
        run.conditions.host_busy = Some(0.7);
        assert!(!run.says("busy"));
        run.conditions.host_busy = None;
        assert!(!run.says("busy"), "another machine's is not known");
    }
}
