//! The page of a demonstration: its acts, and links to their pages.

use askama::Template;

use super::PageError;
use crate::analysis::HopStatistics;
use crate::report::figures::ms;
use crate::report::{ActReport, DemoReport, Verdict};

/// The page of a demonstration.
///
/// # Errors
/// When the template cannot be rendered.
pub fn demo_page(demo: &DemoReport) -> Result<String, PageError> {
    let page = DemoPage {
        demo,
        headline: headline(demo),
        rows: demo.acts.iter().map(ActRow::of).collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "demo.html")]
struct DemoPage<'a> {
    demo: &'a DemoReport,
    headline: String,
    rows: Vec<ActRow<'a>>,
    version: &'static str,
}

struct ActRow<'a> {
    act: &'a ActReport,
    /// Events, rate, p50, p95, p99, max, lost, match.
    figures: Vec<String>,
    slowest: &'a str,
    result: String,
}

impl<'a> ActRow<'a> {
    fn of(act: &'a ActReport) -> Self {
        let unknown = || "–".to_owned();
        let span = |of: fn(&HopStatistics) -> i64| {
            let total = act.total.as_ref().filter(|total| total.count > 0);
            total.map_or_else(unknown, |total| ms(of(total)))
        };
        let rate = act.rate_per_s.map(|rate| rate.to_string());
        let matches = act.match_percent.map(|percent| percent.to_string());
        Self {
            figures: vec![
                act.inserted.to_string(),
                rate.unwrap_or_else(|| "max".to_owned()),
                span(|total| total.p50),
                span(|total| total.p95),
                span(|total| total.p99),
                span(|total| total.max),
                act.lost.to_string(),
                matches.unwrap_or_else(unknown),
            ],
            slowest: act.slowest_hop.as_deref().unwrap_or("–"),
            result: act.result(),
            act,
        }
    }
}

fn headline(demo: &DemoReport) -> String {
    let inserted: u64 = demo.acts.iter().map(|act| act.inserted).sum();
    match demo.verdict {
        Verdict::Pass => format!("All {inserted} events are in the store as they were inserted"),
        Verdict::Fail => "Events are lost or differ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{DEMO_SCHEMA, render_demo, sample};

    #[test]
    fn page_and_text_have_the_same_figures_and_the_page_leads_to_each_act() {
        let report = sample::report();
        let act = ActReport::of("stress", "a busy hour", Some("connect"), &report);
        let demo = DemoReport {
            schema: DEMO_SCHEMA.to_owned(),
            id: "20261124-101500-7f3a9c".to_owned(),
            stack: "local".to_owned(),
            speed: 10,
            acts: vec![act],
            verdict: Verdict::Pass,
        };
        let page = demo_page(&demo).unwrap();
        let text = render_demo(&demo);
        let total = demo.acts[0].total.unwrap();
        for figure in [total.p50, total.p95, total.p99].map(ms) {
            assert!(
                page.contains(&format!(r#"<td class="n">{figure}</td>"#)),
                "{figure}"
            );
            assert!(text.contains(&figure), "{figure}");
        }
        let way = format!(r#"href="../{}/report.html""#, report.run.id);
        assert!(page.contains(&way));
        assert!(page.contains("connect was killed") && text.contains("connect was killed"));
        assert!(page.contains("10 times the speed") && text.contains("10 times the speed"));
    }
}
