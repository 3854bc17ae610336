//! The results of all acts of a demonstration, as one report.

use std::fmt::Write as _;

use console::style;
use serde::{Deserialize, Serialize};

use super::figures::ms;
use super::{PathReport, Report, Verdict};
use crate::analysis::{HopStatistics, Objective};
use crate::timeline::Hop;

/// The schema of `demo.json`.
pub const DEMO_SCHEMA: &str = "cdc-bench/demo/1";

/// A demonstration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoReport {
    /// [`DEMO_SCHEMA`].
    pub schema: String,
    /// Its id; each act's run begins with it.
    pub id: String,
    /// Which servers.
    pub stack: String,
    /// How many times as fast as a performance.
    pub speed: u32,
    /// The acts, in their order.
    pub acts: Vec<ActReport>,
    /// Whether every event of every act is in the store, once and as it was inserted.
    pub verdict: Verdict,
}

/// One act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActReport {
    /// Its name.
    pub name: String,
    /// What it was for.
    pub purpose: String,
    /// The server that was killed in it.
    pub fault: Option<String>,
    /// Its run, which has a result of its own.
    pub run: String,
    /// Events a second on its schedule.
    pub rate_per_s: Option<f64>,
    /// Events inserted.
    pub inserted: u64,
    /// Events in the store.
    pub written: u64,
    /// Inserted and not in the store.
    pub lost: u64,
    /// Written again after they had been written.
    pub duplicates: u64,
    /// Documents that equal their row, percent.
    pub match_percent: Option<f64>,
    /// INSERT to document.
    pub total: Option<HopStatistics>,
    /// Events a second, on average.
    pub average_per_s: f64,
    /// Where the time went at the median.
    pub slowest_hop: Option<String>,
    /// The objectives.
    pub objectives: Vec<Objective>,
    /// Whether nothing is lost and nothing differs.
    pub is_clean: bool,
}

impl ActReport {
    /// Of an act's run.
    #[must_use]
    pub fn of(name: &str, purpose: &str, fault: Option<&str>, report: &Report) -> Self {
        let first = report.ordered_paths().next().map(|(_, path)| path);
        Self {
            name: name.to_owned(),
            purpose: purpose.to_owned(),
            fault: fault.map(ToOwned::to_owned),
            run: report.run.id.clone(),
            rate_per_s: report.run.rate_per_s,
            inserted: report.counts.inserted,
            written: report.counts.written,
            lost: report.counts.lost,
            duplicates: report.counts.duplicates,
            match_percent: report.verification.map(|found| found.match_percent),
            total: first.and_then(|path| path.hops.get(Hop::Total.as_str()).copied()),
            average_per_s: report.throughput.average_per_s,
            slowest_hop: report.diagnosis.slowest_hop.clone(),
            objectives: report.objectives.clone(),
            is_clean: report.paths.values().all(PathReport::is_clean),
        }
    }

    /// Its result, on one line.
    #[must_use]
    pub fn result(&self) -> String {
        let mut line = format!("{} of {} events in the store", self.written, self.inserted);
        if let Some(total) = self.total.filter(|total| total.count > 0) {
            let _ = write!(
                line,
                "; p50 {} ms, p95 {} ms, p99 {} ms",
                ms(total.p50),
                ms(total.p95),
                ms(total.p99)
            );
        }
        if let Some(hop) = &self.slowest_hop {
            let _ = write!(line, "; most of it {hop}");
        }
        line
    }
}

/// The demonstration as text: an act a line.
#[must_use]
pub fn render_demo(demo: &DemoReport) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(String::new());
    line(
        style(format!("Demonstration {}", demo.id))
            .bold()
            .to_string(),
    );
    if demo.speed > 1 {
        line(format!(
            "A rehearsal at {} times the speed: the rates are not those of a performance.",
            demo.speed
        ));
    }
    line(String::new());
    line(format!(
        "{:<11} {:>7} {:>9} {:>9} {:>9} {:>9}  {:>6} {:>8}  slowest hop",
        "act", "events", "rate/s", "p50 ms", "p95 ms", "p99 ms", "lost", "match %"
    ));
    for act in &demo.acts {
        let quantile = |of: fn(&HopStatistics) -> i64| {
            let total = act.total.as_ref().filter(|total| total.count > 0);
            total.map_or_else(|| "–".to_owned(), |total| ms(of(total)))
        };
        line(format!(
            "{:<11} {:>7} {:>9} {:>9} {:>9} {:>9}  {:>6} {:>8}  {}",
            act.name,
            act.inserted,
            act.rate_per_s
                .map_or_else(|| "max".to_owned(), |rate| rate.to_string()),
            quantile(|total| total.p50),
            quantile(|total| total.p95),
            quantile(|total| total.p99),
            act.lost,
            act.match_percent
                .map_or_else(|| "–".to_owned(), |percent| percent.to_string()),
            act.slowest_hop.as_deref().unwrap_or("–"),
        ));
    }
    line(String::new());
    let inserted: u64 = demo.acts.iter().map(|act| act.inserted).sum();
    let verdict = match demo.verdict {
        Verdict::Pass => {
            let all = format!("All {inserted} events are in the store as they were inserted.");
            style(all).green().bold().to_string()
        }
        Verdict::Fail => style("Events are lost or differ: the act's own report says which.")
            .red()
            .bold()
            .to_string(),
    };
    line(verdict);
    for act in demo.acts.iter().filter(|act| act.fault.is_some()) {
        let fault = act.fault.as_deref().unwrap_or_default();
        line(format!(
            "In act \"{}\", {fault} was killed while they were under way.",
            act.name
        ));
    }
    out
}
