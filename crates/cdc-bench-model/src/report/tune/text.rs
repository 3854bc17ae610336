//! A tuning on the terminal.

use console::style;

use super::{HeadToHead, Recommended, TuneReport, TuneTrial};
use crate::report::figures::{self, ms};
use crate::report::line::line;
use crate::report::render_comparison;

/// The tuning as text. Colours follow the terminal, as for a report.
#[must_use]
pub fn render_tune(tune: &TuneReport) -> String {
    let mut out = String::new();
    line!(out);
    line!(
        out,
        "{}  {} configurations at {}, {} stack",
        style(format!("Tuning {}", tune.id)).bold(),
        tune.trials.len(),
        figures::rate(tune.rate_per_s),
        tune.stack
    );
    trials(&mut out, tune);
    if let Some(recommended) = &tune.recommended {
        recommendation(&mut out, recommended);
    }
    if let Some(gain) = &tune.head_to_head {
        head_to_head(&mut out, gain);
    }
    if let Some(reason) = &tune.ended_early {
        line!(out);
        line!(out, "{}", style(format!("ended early: {reason}")).red());
    }
    out
}

/// The frontier first, quickest first; then what it beats.
fn trials(out: &mut String, tune: &TuneReport) {
    line!(out);
    let header = format!(
        "  {:<12} {:>7} {:>9} {:>9} {:>9} {:>8}  {}",
        "", "events", "p50 ms", "p95", "p99", "CPU s/M", "settings"
    );
    line!(out, "{}", style(header).bold());
    let is_on_it = |trial: &&TuneTrial| tune.frontier.contains(&trial.name);
    for trial in tune.frontier.iter().filter_map(|name| tune.trial(name)) {
        line!(out, "{}", style(row("*", trial)).green());
    }
    let mut beaten: Vec<&TuneTrial> = tune.trials.iter().filter(|t| !is_on_it(t)).collect();
    // Those that got further first.
    beaten.sort_by_key(|trial| {
        let p99 = trial.measured.last().map_or(i64::MAX, |run| run.p99);
        (std::cmp::Reverse(trial.measured.len()), p99)
    });
    for trial in beaten {
        line!(out, "{}", style(row(" ", trial)).dim());
    }
    line!(
        out,
        "  * the frontier: of those in the last round, no other one is better in both p99 and processor time"
    );
}

fn row(mark: &str, trial: &TuneTrial) -> String {
    let name = &trial.name;
    let Some(run) = trial.measured.last() else {
        let reason = trial.refused.as_deref().unwrap_or("not measured");
        return format!("{mark} {name:<12} {reason}; {}", trial.configuration);
    };
    format!(
        "{mark} {name:<12} {:>7} {:>9} {:>9} {:>9} {:>8}  {}{}",
        run.events,
        ms(run.p50),
        ms(run.p95),
        ms(run.p99),
        figures::cpu(run.cpu_s_per_million),
        trial.configuration,
        if run.is_clean {
            ""
        } else {
            " (events lost or differing)"
        }
    )
}

fn recommendation(out: &mut String, recommended: &Recommended) {
    line!(out);
    line!(
        out,
        "{} {}: {}",
        style("Recommended").bold(),
        style(&recommended.name).green().bold(),
        recommended.why
    );
    let json = serde_json::to_string_pretty(&recommended.connector).unwrap_or_default();
    line!(
        out,
        "Connector, for POST /connectors (names, addresses and the password are yours to fill in):"
    );
    line!(out, "{json}");
    let configuration = &recommended.configuration;
    for (what, settings) in [
        ("Consumer", &configuration.consumer),
        ("Store writes", &configuration.store),
    ] {
        if !settings.is_empty() {
            let settings: Vec<_> = settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
            line!(out, "{what}: {}", settings.join(", "));
        }
    }
}

fn head_to_head(out: &mut String, gain: &HeadToHead) {
    line!(out);
    line!(
        out,
        "{}",
        style(format!(
            "Against the defaults, {} runs of each in turns",
            gain.rounds
        ))
        .bold()
    );
    if let Some([stock, recommended]) = gain.cpu_s_per_million {
        line!(
            out,
            "processor time: {stock:.0} s a million events with the defaults, {recommended:.0} with what is recommended"
        );
    }
    out.push_str(&render_comparison(&gain.comparison));
}
