//! The histogram of one hop.

use crate::analysis::SignedHistogram;
use crate::report::figures::ms;
use crate::report::html::axis::{Axis, Scale, number};
use crate::report::html::plot::{Figure, FigureText, Plot, Size};
use crate::timeline::Hop;

/// How the spans of one hop are distributed.
pub(in crate::report::html) fn histogram(
    id: &str,
    hop: Hop,
    spans: &SignedHistogram,
) -> Option<Figure> {
    const BINS: usize = 48;
    if spans.count() == 0 {
        return None;
    }
    let low = spans.quantile(0.001).as_millis_f64().max(0.01);
    let high = spans.max().as_millis_f64().max(low * 1.5);
    let width = (high / low).powf(1.0 / BINS as f64);
    let mut bins = [0u64; BINS];
    let mut below = 0;
    for (value, count) in spans.values() {
        let value = value.as_millis_f64();
        if value < low {
            below += count;
            continue;
        }
        let bin = (0..BINS)
            .rev()
            .find(|bin| value >= low * width.powf(*bin as f64) * 0.999_999)
            .unwrap_or(0);
        bins[bin] += count;
    }
    let most = bins.iter().copied().max().unwrap_or(1).max(below);
    let (p50, p99) = (spans.quantile(0.5), spans.quantile(0.99));
    let text = FigureText {
        id,
        title: &format!("Histogram of {}", hop.as_str()),
        description: &format!(
            "{} events by their {}, on a logarithmic axis from {} to {} ms. Half took {} ms or less, 99 of 100 took {} ms or less.{}",
            spans.count(),
            hop.as_str(),
            number(low),
            number(high),
            ms(p50.round_micros()),
            ms(p99.round_micros()),
            if below > 0 {
                format!(" {below} lie below the axis and stand in its first bar.")
            } else {
                String::new()
            }
        ),
    };
    bins[0] += below;
    Some(Figure::new(text, 190.0, |size| {
        // Histograms are shown side by side, so the narrow size is used on every screen.
        let size = Size {
            width: 360.0,
            ticks: 6,
            ..size
        };
        let x = Axis::new(Scale::Logarithmic, low, high);
        let y = Axis::new(Scale::Linear, 0.0, most as f64 * 1.04);
        let mut plot = Plot::new(size, 14.0, x, y);
        plot.vertical("events");
        let ticks: Vec<_> = x
            .ticks(size.ticks)
            .into_iter()
            .map(|tick| (tick, number(tick)))
            .collect();
        plot.horizontal(&ticks, "ms");
        for (bin, count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let from = low * width.powf(bin as f64);
            plot.bar(hop.as_str(), from, from * width, *count as f64);
        }
        plot.mark("quantile", p50.as_millis_f64(), "p50");
        if p99 > p50 {
            plot.mark("quantile", p99.as_millis_f64(), "p99");
        }
        plot
    }))
}
