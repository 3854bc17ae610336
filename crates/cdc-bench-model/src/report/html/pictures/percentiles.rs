//! Distributions by percentile.

use crate::analysis::SignedHistogram;
use crate::report::html::axis::{Axis, Scale};
use crate::report::html::plot::{Figure, FigureText, Plot, Size};

/// The quantiles that are drawn of a distribution of `count` values: evenly on the logarithm of what is left above.
fn quantiles(count: u64) -> Vec<f64> {
    const A_DECADE: i32 = 16;
    let last = (count.max(2) as f64).log10();
    let steps = (0..).map(|n| f64::from(n) / f64::from(A_DECADE));
    let nines = steps.take_while(|nines| *nines < last);
    nines.map(|nines| 1.0 - 10f64.powf(-nines)).collect()
}

/// One distribution of a percentile plot.
pub(in crate::report::html) struct Distribution<'a> {
    pub(in crate::report::html) name: String,
    /// CSS class: colour and dashes.
    pub(in crate::report::html) class: String,
    pub(in crate::report::html) spans: &'a SignedHistogram,
}

/// Distributions as HdrHistogram plots them: what share of the events was faster, up to the last one, on an axis where
/// each nine has the same room.
pub(in crate::report::html) fn percentiles(
    text: FigureText<'_>,
    height: f64,
    distributions: &[Distribution<'_>],
) -> Option<Figure> {
    let lines: Vec<Vec<_>> = distributions
        .iter()
        .map(|distribution| {
            let spans = distribution.spans;
            quantiles(spans.count())
                .into_iter()
                .map(|q| Some((1.0 / (1.0 - q), spans.quantile(q).as_millis_f64())))
                .collect()
        })
        .collect();
    let most = distributions.iter().map(|d| d.spans.count()).max()?;
    let values = || lines.iter().flatten().flatten().map(|(_, y)| *y);
    let low = values()
        .filter(|y| *y > 0.0)
        .reduce(f64::min)?
        .clamp(0.01, 1e6);
    let high = values().reduce(f64::max)?;
    let right = distributions
        .iter()
        .map(|d| d.name.len())
        .max()
        .unwrap_or(0) as f64
        * 8.4
        + 12.0;
    Some(Figure::new(text, height, |size| {
        let x = Axis::new(Scale::Logarithmic, 1.0, (most as f64).max(10.0));
        let y = Axis::new(Scale::Logarithmic, low * 0.9, high * 1.2);
        let mut plot = Plot::new(size, right, x, y);
        plot.vertical("ms");
        plot.horizontal(&percentile_ticks(size, most), "% of the events were faster");
        for (distribution, line) in distributions.iter().zip(&lines) {
            plot.line(&distribution.class, line);
        }
        let ends = distributions.iter().zip(&lines).filter_map(|(d, line)| {
            let (_, y) = line.iter().rev().flatten().next()?;
            Some((*y, d.class.as_str(), d.name.clone()))
        });
        plot.names(ends.collect());
        plot
    }))
}

fn percentile_ticks(size: Size, most: u64) -> Vec<(f64, String)> {
    let all = [
        (1.0, "0"),
        (2.0, "50"),
        (10.0, "90"),
        (20.0, "95"),
        (100.0, "99"),
        (1e3, "99.9"),
        (1e4, "99.99"),
        (1e5, "99.999"),
    ];
    all.into_iter()
        .filter(|(x, _)| *x <= most.max(10) as f64)
        // On a small screen 95 would touch its neighbours.
        .filter(|(x, _)| size.ticks > 5 || ![20.0].contains(x))
        .map(|(x, text)| (x, text.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_plot_reaches_the_last_event_and_no_further() {
        let drawn = quantiles(10_000);
        let (first, last) = (drawn[0], drawn[drawn.len() - 1]);
        assert!(
            first.abs() < f64::EPSILON && (0.9998..0.99995).contains(&last),
            "{last}"
        );
        assert_eq!(quantiles(1).len(), quantiles(2).len());
    }
}
