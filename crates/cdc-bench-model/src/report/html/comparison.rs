//! The page of a comparison.

use askama::Template;

use super::PageError;
use super::pictures::{self, Distribution};
use super::plot::{Figure, FigureText};
use crate::analysis::{COMPARED, Difference, DifferenceVerdict, Outcome, QUANTILES, Sample};
use crate::report::comparison::{Compared, basis, call};
use crate::report::figures::{self, ms, signed_ms};
use crate::timeline::Hop;

/// The page of a comparison.
///
/// # Errors
/// When the template cannot be rendered.
pub fn comparison_page(compared: &Compared) -> Result<String, PageError> {
    Ok(ComparisonPage::of(compared).render()?)
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparisonPage<'a> {
    compared: &'a Compared,
    word: String,
    class: &'static str,
    /// The verdict's first sentence, and the rest.
    sentence: &'a str,
    besides: &'a str,
    basis: String,
    has_clock_error: bool,
    rows: Vec<DifferenceRow>,
    /// Ends of the scale on which the intervals are drawn, percent.
    scale: String,
    effects: Vec<EffectRow>,
    total: Option<Figure>,
    hops: Vec<(&'static str, &'static str, Figure)>,
    rounds: Option<Figure>,
    version: &'static str,
}

struct DifferenceRow {
    hop: &'static str,
    quantile: &'static str,
    is_first: bool,
    class: &'static str,
    baseline: String,
    candidate: String,
    difference: String,
    percent: String,
    interval: String,
    clock_error: String,
    call: &'static str,
    drawn: Option<Whisker>,
}

/// An interval on the common scale: places in percent of its width.
struct Whisker {
    from: String,
    width: String,
    at: String,
}

struct EffectRow {
    hop: &'static str,
    percent: String,
    size: &'static str,
}

impl<'a> ComparisonPage<'a> {
    fn of(compared: &'a Compared) -> Self {
        let comparison = &compared.comparison;
        let scale = scale(&comparison.differences);
        let class = match comparison.outcome {
            Outcome::Faster => "pass",
            Outcome::Slower | Outcome::Mixed => "fail",
            Outcome::NoDifferenceShown => "even",
        };
        let verdict = compared.verdict.as_str();
        let (word, rest) = verdict.split_once(": ").unwrap_or((verdict, ""));
        let (sentence, besides) = rest.split_once("; ").unwrap_or((rest, ""));
        let [baseline, candidate] = &compared.samples;
        Self {
            compared,
            word: word.to_uppercase(),
            class,
            sentence,
            besides,
            has_clock_error: comparison
                .differences
                .iter()
                .any(|d| d.clock_error != Some(0)),
            basis: basis(compared),
            rows: comparison
                .differences
                .iter()
                .map(|d| row(d, scale))
                .collect(),
            scale: format!("{scale:.0} %"),
            effects: comparison
                .effects
                .iter()
                .map(|effect| EffectRow {
                    hop: effect.hop.as_str(),
                    percent: figures::percent(effect.slower_in),
                    size: effect.size,
                })
                .collect(),
            total: overlay(Hop::Total, 360.0, baseline, candidate),
            hops: COMPARED
                .into_iter()
                .filter(|hop| *hop != Hop::Total)
                .filter_map(|hop| {
                    let figure = overlay(hop, 220.0, baseline, candidate)?;
                    Some((hop.as_str(), figures::span(hop), figure))
                })
                .collect(),
            rounds: pictures::rounds(
                "rounds",
                &baseline.medians(Hop::Total),
                &candidate.medians(Hop::Total),
            ),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Half the width of the scale, percent of the baseline: what holds most intervals. Longer ones are cut off.
fn scale(differences: &[Difference]) -> f64 {
    let mut ends: Vec<f64> = differences
        .iter()
        .filter(|d| d.baseline > 0)
        .map(|d| d.low.abs().max(d.high.abs()) as f64 / d.baseline as f64 * 100.0)
        .collect();
    ends.sort_by(f64::total_cmp);
    let most = ends.get(ends.len() * 3 / 4).copied().unwrap_or(10.0);
    [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
        .into_iter()
        .find(|scale| *scale >= most)
        .unwrap_or(1_000.0)
}

fn row(d: &Difference, scale: f64) -> DifferenceRow {
    let drawn = (d.baseline > 0).then(|| {
        let place = |us: i64| {
            let percent = us as f64 / d.baseline as f64 * 100.0;
            ((percent / scale).clamp(-1.0, 1.0) + 1.0) * 50.0
        };
        let (from, to) = (place(d.low), place(d.high));
        Whisker {
            from: format!("{from:.2}"),
            width: format!("{:.2}", to - from),
            at: format!("{:.2}", place(d.difference)),
        }
    });
    DifferenceRow {
        hop: d.hop.as_str(),
        quantile: d.quantile,
        is_first: d.quantile == QUANTILES[0].0,
        class: match d.call {
            DifferenceVerdict::Faster => "faster",
            DifferenceVerdict::Slower => "slower",
            DifferenceVerdict::NoDifferenceShown | DifferenceVerdict::WithinClockError => "even",
        },
        baseline: ms(d.baseline),
        candidate: ms(d.candidate),
        difference: signed_ms(d.difference),
        percent: d
            .percent
            .map_or_else(|| "–".to_owned(), |percent| format!("{percent:+.1} %")),
        interval: format!("{} to {}", signed_ms(d.low), signed_ms(d.high)),
        clock_error: match d.clock_error {
            Some(0) => String::new(),
            Some(error) => ms(error),
            None => "?".to_owned(),
        },
        call: call(d.call),
        drawn,
    }
}

/// Both distributions of a hop.
fn overlay(hop: Hop, height: f64, baseline: &Sample, candidate: &Sample) -> Option<Figure> {
    let of = |name: &str, sample: &'_ Sample| -> Option<(String, i64)> {
        let spans = sample.spans(hop)?;
        Some((name.to_owned(), spans.quantile(0.5).round_micros()))
    };
    let (first, second) = (of("baseline", baseline)?, of("candidate", candidate)?);
    let text = FigureText {
        id: &format!("overlay-{}", hop.as_str()),
        title: &format!("{} by percentile, both sides", hop.as_str()),
        description: &format!(
            "The time that a share of the events stayed below, both axes logarithmic. The median is {} ms of the baseline and {} ms of the candidate; the table above has the other quantiles.",
            ms(first.1),
            ms(second.1)
        ),
    };
    let distributions: Vec<_> = [(first.0, baseline), (second.0, candidate)]
        .into_iter()
        .filter_map(|(name, sample)| {
            Some(Distribution {
                class: name.clone(),
                name,
                spans: sample.spans(hop)?,
            })
        })
        .collect();
    pictures::percentiles(text, height, &distributions)
}
