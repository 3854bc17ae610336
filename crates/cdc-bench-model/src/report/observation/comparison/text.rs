//! A comparison of observations on the terminal.

use console::{Style, style};

use super::ObservationComparison;
use crate::analysis::{DifferenceVerdict, Outcome, QUANTILES};
use crate::report::figures::{ms, signed_ms};
use crate::report::line::line;

/// The comparison as text. Colours follow the terminal.
#[must_use]
pub fn render_observation_comparison(compared: &ObservationComparison) -> String {
    let mut out = String::new();
    line!(out);
    for (name, id, changes) in [
        ("baseline", &compared.baseline, compared.changes[0]),
        ("candidate", &compared.candidate, compared.changes[1]),
    ] {
        line!(out, "{name:<10} {}, {changes} changes", style(id).bold());
    }
    for unlike in &compared.unlike {
        line!(
            out,
            "{}",
            style(format!("UNLIKE     {unlike}")).red().bold()
        );
    }
    line!(out);
    let header = format!(
        "{:<10} {:<4} {:>9} {:>9} {:>9} {:>9}  {:<21} {}",
        "hop (ms)", "", "baseline", "candidate", "diff", "", "interval", "verdict"
    );
    line!(out, "{}", style(header).bold());
    for d in &compared.differences {
        let is_first = d.quantile == QUANTILES[0].0;
        let percent = d
            .percent
            .map_or_else(String::new, |percent| format!("{percent:+.1} %"));
        let interval = format!("{} to {}", signed_ms(d.low), signed_ms(d.high));
        let row = format!(
            "{:<10} {:<4} {:>9} {:>9} {:>9} {percent:>9}  {interval:<21} {}",
            if is_first { d.hop } else { "" },
            d.quantile,
            ms(d.baseline),
            ms(d.candidate),
            signed_ms(d.difference),
            word(d.call)
        );
        let emphasis = match d.call {
            DifferenceVerdict::Faster => Style::new().green(),
            DifferenceVerdict::Slower => Style::new().red(),
            DifferenceVerdict::NoDifferenceShown | DifferenceVerdict::WithinClockError => {
                Style::new().dim()
            }
        };
        line!(out, "{}", emphasis.apply_to(row));
    }
    line!(out);
    line!(
        out,
        "{}",
        style(format!(
            "99 % intervals: blocks of time resampled, and {:.0} % by which observations differ by themselves (--run-noise)",
            compared.run_noise * 100.0
        ))
        .dim()
    );
    line!(out);
    let (verdict, emphasis) = match compared.outcome {
        Outcome::Faster => ("the candidate's total is faster", Style::new().green()),
        Outcome::Slower => ("the candidate's total is slower", Style::new().red()),
        Outcome::Mixed => (
            "some of the candidate's total is faster, some slower",
            Style::new().red(),
        ),
        Outcome::NoDifferenceShown => ("no difference of the total is shown", Style::new()),
    };
    line!(out, "{}", emphasis.bold().apply_to(verdict));
    out
}

fn word(call: DifferenceVerdict) -> &'static str {
    match call {
        DifferenceVerdict::Faster => "faster",
        DifferenceVerdict::Slower => "slower",
        DifferenceVerdict::NoDifferenceShown => "no difference shown",
        DifferenceVerdict::WithinClockError => "within the clocks' error",
    }
}
