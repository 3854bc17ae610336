//! A comparison on the terminal.

use console::{Style, style};

use super::{Compared, SideReport, basis, call};
use crate::analysis::{DifferenceVerdict, Outcome, QUANTILES};
use crate::report::figures::{ms, signed_ms};
use crate::report::line::line;
use crate::timeline::Hop;

/// The comparison as text. Colours follow the terminal, as for a report.
#[must_use]
pub fn render_comparison(compared: &Compared) -> String {
    let mut out = String::new();
    line!(out);
    side(&mut out, "baseline", &compared.baseline);
    side(&mut out, "candidate", &compared.candidate);
    for unlike in &compared.varied {
        line!(
            out,
            "varied     {}: {} -> {}",
            unlike.what,
            unlike.first,
            unlike.other
        );
    }
    if !compared.unlike.is_empty() {
        line!(
            out,
            "{}",
            style("UNLIKE     these differ as well, so the difference says nothing of one thing alone:")
                .red()
                .bold()
        );
        for unlike in &compared.unlike {
            line!(
                out,
                "           {}",
                style(format!(
                    "{}: {} and {}",
                    unlike.what, unlike.first, unlike.other
                ))
                .red()
            );
        }
    }
    table(&mut out, compared);
    line!(out);
    line!(out, "{}", style(basis(compared)).dim());
    line!(out);
    let emphasis = match compared.comparison.outcome {
        Outcome::Faster => Style::new().green().bold(),
        Outcome::Slower | Outcome::Mixed => Style::new().red().bold(),
        Outcome::NoDifferenceShown => Style::new().bold(),
    };
    line!(out, "{}", emphasis.apply_to(&compared.verdict));
    out
}

fn side(out: &mut String, name: &str, side: &SideReport) {
    line!(
        out,
        "{name:<10} {} {}, {} events{}",
        side.path,
        style(side.runs.join(", ")).bold(),
        side.events,
        match side.rounds {
            1 => String::new(),
            rounds => format!(" in {rounds} rounds"),
        }
    );
}

fn table(out: &mut String, compared: &Compared) {
    line!(out);
    let header = format!(
        "{:<15} {:<4} {:>9} {:>9} {:>9} {:>9}  {:<21} {}",
        "hop (ms)", "", "baseline", "candidate", "diff", "", "interval", "verdict"
    );
    line!(out, "{}", style(header).bold());
    for d in &compared.comparison.differences {
        let first = d.quantile == QUANTILES[0].0;
        let percent = d
            .percent
            .map_or_else(String::new, |percent| format!("{percent:+.1} %"));
        let interval = format!("{} to {}", signed_ms(d.low), signed_ms(d.high));
        let row = format!(
            "{:<15} {:<4} {:>9} {:>9} {:>9} {:>9}  {interval:<21} {}",
            if first { d.hop.as_str() } else { "" },
            d.quantile,
            ms(d.baseline),
            ms(d.candidate),
            signed_ms(d.difference),
            percent,
            call(d.call)
        );
        let emphasis = match d.call {
            DifferenceVerdict::Faster => Style::new().green(),
            DifferenceVerdict::Slower => Style::new().red(),
            DifferenceVerdict::NoDifferenceShown | DifferenceVerdict::WithinClockError
                if d.hop == Hop::Total =>
            {
                Style::new()
            }
            DifferenceVerdict::NoDifferenceShown | DifferenceVerdict::WithinClockError => {
                Style::new().dim()
            }
        };
        line!(out, "{}", emphasis.apply_to(row));
    }
    line!(out);
    for effect in &compared.comparison.effects {
        line!(
            out,
            "{}",
            style(format!(
                "effect     {:<15} slower in {:.0} % of pairs of events ({})",
                effect.hop.as_str(),
                effect.slower_in * 100.0,
                effect.size
            ))
            .dim()
        );
    }
}
