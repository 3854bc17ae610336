//! The result of `resilience` (`resilience.json`): what each fault did to each capture path, one run after another on the same
//! servers, in one table.

use std::collections::BTreeMap;

use console::style;
use serde::{Deserialize, Serialize};

use super::fault::{FaultEffect, FaultReport};
use super::fault_table;
use super::line::line;
use super::{PathReport, Report, Verdict};

/// The schema's name and number.
pub const RESILIENCE_SCHEMA: &str = "cdc-bench/resilience/1";

/// The result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResilienceReport {
    /// [`RESILIENCE_SCHEMA`].
    pub schema: String,
    /// Its id.
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// Whether it was the quick one: each process is killed once.
    pub quick: bool,
    /// Events a second of every run.
    pub rate_per_s: Option<f64>,
    /// The runs, in their order.
    pub runs: Vec<ResilienceRun>,
    /// By capture path, the worst of all faults.
    pub worst: BTreeMap<String, WorstEffects>,
    /// Why it ended before all was done; `null` if it did not.
    pub ended_early: Option<String>,
    /// Nothing lost, nothing doubled or differing in the store, order kept, every fault made.
    pub verdict: Verdict,
}

/// A run of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResilienceRun {
    /// Its folder, beside the report.
    pub folder: String,
    /// Events that it inserted.
    pub events: u64,
    /// Faults that it was asked to make.
    pub planned: u64,
    /// Those that were made.
    pub faults: Vec<FaultReport>,
    /// Whether the store has every row of every path once.
    pub is_clean: bool,
}

/// The worst that any fault did to a path, in microseconds from the fault on, and the sums over all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstEffects {
    /// Longest until an event was in the store again, and after which fault.
    pub first_event: Option<(i64, String)>,
    /// Longest until the backlog was gone, and after which fault.
    pub backlog_gone: Option<(i64, String)>,
    /// Events lost.
    pub lost: u64,
    /// Events delivered again.
    pub delivered_again: u64,
    /// Events out of order.
    pub reordered: u64,
}

impl ResilienceRun {
    /// Of a run's report.
    #[must_use]
    pub fn of(folder: &str, planned: usize, report: &Report) -> Self {
        Self {
            folder: folder.to_owned(),
            events: report.counts.inserted,
            planned: u64::try_from(planned).unwrap_or(u64::MAX),
            faults: report.faults.clone(),
            is_clean: report.paths.values().all(PathReport::is_clean),
        }
    }

    /// Nothing lost, doubled, differing or out of order, and every fault made.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let effects = self.faults.iter().flat_map(|fault| fault.paths.values());
        let mut effects = effects.map(|effect| effect.lost + effect.reordered);
        let made = u64::try_from(self.faults.len()).unwrap_or(0);
        self.is_clean && made == self.planned && effects.all(|wrong| wrong == 0)
    }
}

impl ResilienceReport {
    /// Adds a run.
    pub fn add(&mut self, run: ResilienceRun) {
        for fault in &run.faults {
            for (path, effect) in &fault.paths {
                let worst = self.worst.entry(path.clone()).or_default();
                worst.add(&fault.fault, effect);
            }
        }
        if !run.is_sound() {
            self.verdict = Verdict::Fail;
        }
        self.runs.push(run);
    }

    /// Every fault, in order.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultReport> {
        let faults = self.runs.iter().flat_map(|run| &run.faults);
        faults.cloned().collect()
    }

    /// The result in one sentence.
    #[must_use]
    pub fn headline(&self) -> String {
        let faults: usize = self.runs.iter().map(|run| run.faults.len()).sum();
        let events: u64 = self.runs.iter().map(|run| run.events).sum();
        match (self.verdict, &self.ended_early) {
            (_, Some(_)) => format!("Ended early, after {faults} faults."),
            (Verdict::Pass, None) => format!(
                "{faults} faults, {events} events: none lost, none doubled in the store, each aggregate in its order."
            ),
            (Verdict::Fail, None) => format!(
                "{faults} faults, {events} events: some are lost, differ or are out of order, or a fault was not made."
            ),
        }
    }

    /// What the worst fault did to each path, a line each.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let of_path = |(path, worst): (&String, &WorstEffects)| {
            format!(
                "{path}: {}; {}; {} lost, {} delivered again, {} out of order",
                told("events again in the store", worst.first_event.as_ref()),
                told("backlog gone", worst.backlog_gone.as_ref()),
                worst.lost,
                worst.delivered_again,
                worst.reordered
            )
        };
        self.worst.iter().map(of_path).collect()
    }
}

#[allow(clippy::cast_precision_loss)] // durations for display
fn told(what: &str, worst: Option<&(i64, String)>) -> String {
    worst.map_or_else(
        || format!("{what}: not seen"),
        |(us, fault)| format!("{what} after {:.1} s at most ({fault})", *us as f64 / 1e6),
    )
}

impl WorstEffects {
    fn add(&mut self, fault: &str, effect: &FaultEffect) {
        for (worst, span) in [
            (&mut self.first_event, effect.first_event),
            (&mut self.backlog_gone, effect.backlog_gone),
        ] {
            let known = worst.as_ref().map_or(-1, |(span, _)| *span);
            if let Some(span) = span.filter(|span| *span > known) {
                *worst = Some((span, fault.to_owned()));
            }
        }
        self.lost += effect.lost;
        self.delivered_again += effect.delivered_again;
        self.reordered += effect.reordered;
    }
}

/// The result as text.
#[must_use]
pub fn render_resilience(report: &ResilienceReport) -> String {
    let mut out = String::new();
    line!(out);
    let mut rows = fault_table::text(&report.faults()).into_iter();
    line!(out, "{}", style(rows.next().unwrap_or_default()).bold());
    for row in rows {
        line!(out, "{row}");
    }
    line!(out);
    for worst in report.summary() {
        line!(out, "{worst}");
    }
    let headline = style(report.headline());
    let headline = match report.verdict {
        Verdict::Pass => headline.green(),
        Verdict::Fail => headline.red(),
    };
    line!(out, "{}", headline.bold());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::resilience_page;

    fn report(reordered: u64) -> ResilienceReport {
        let effect = |first| FaultEffect {
            first_event: Some(first),
            reordered,
            ..FaultEffect::default()
        };
        let fault = |name: &str, first| FaultReport {
            fault: name.to_owned(),
            action: String::new(),
            target: String::new(),
            process: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            at_s: 1.0,
            took: None,
            connections_broken: None,
            paths: [("wal".to_owned(), effect(first))].into(),
        };
        let mut report = ResilienceReport {
            schema: RESILIENCE_SCHEMA.to_owned(),
            id: "r".to_owned(),
            started_at: String::new(),
            finished_at: String::new(),
            quick: true,
            rate_per_s: Some(50.0),
            runs: Vec::new(),
            worst: BTreeMap::new(),
            ended_early: None,
            verdict: Verdict::Pass,
        };
        report.add(ResilienceRun {
            folder: "kill-kafka".to_owned(),
            events: 2_400,
            planned: 2,
            faults: vec![
                fault("kill:kafka@10%", 4_000_000),
                fault("kill:kafka@40%", 3_000_000),
            ],
            is_clean: true,
        });
        report
    }

    #[test]
    fn the_worst_of_each_path_is_told_with_its_fault_in_text_and_page() {
        let report = report(0);
        let text = render_resilience(&report);
        let worst = "events again in the store after 4.0 s at most (kill:kafka@10%)";
        assert!(text.contains(worst), "{text}");
        assert!(text.contains("2 faults, 2400 events: none lost"), "{text}");
        let page = resilience_page(&report).unwrap();
        assert!(page.contains(worst) && page.contains("kill:kafka@40%"));
    }

    #[test]
    fn an_event_out_of_order_and_a_fault_that_was_not_made_fail() {
        assert_eq!(report(1).verdict, Verdict::Fail);
        let mut other = report(0);
        assert_eq!(other.verdict, Verdict::Pass);
        let mut run = other.runs[0].clone();
        run.planned = 3;
        other.add(run);
        assert_eq!(other.verdict, Verdict::Fail);
    }
}
