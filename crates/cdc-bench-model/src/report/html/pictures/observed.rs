//! An observation over time: quantiles of the total, the median of each hop, changes a second.

use crate::report::html::axis::{Axis, Scale, number};
use crate::report::html::plot::{Figure, FigureText, Plot};
use crate::report::observation::{ObservedSeries, SeriesPoint};

/// Points of a line; `None` is a gap.
type Line = Vec<Option<(f64, f64)>>;

/// The least that is drawn on a logarithmic axis, ms.
const FLOOR: f64 = 0.01;

/// The class that has the colour of an observed hop.
pub(in crate::report::html) fn hop_class(hop: &str) -> &'static str {
    match hop {
        "debezium" => "capture",
        "produce" => "kafka_delivery",
        "consume" => "processing",
        "total" => "total",
        _ => "",
    }
}

fn time_axis(plot: &mut Plot, length_s: f64, most: usize) {
    let (unit, name) = match length_s {
        s if s > 3.0 * 3_600.0 => (3_600.0, "hours since the beginning"),
        s if s > 600.0 => (60.0, "minutes since the beginning"),
        _ => (1.0, "seconds since the beginning"),
    };
    let ticks = Axis::new(Scale::Linear, 0.0, length_s / unit).ticks(most);
    let ticks: Vec<_> = ticks
        .into_iter()
        .map(|tick| (tick * unit, number(tick)))
        .collect();
    plot.horizontal(&ticks, name);
}

fn line(series: &ObservedSeries, ms: impl Fn(&SeriesPoint) -> Option<f64>) -> Line {
    let points = series.points.iter();
    points
        .map(|point| Some((point.middle_s, ms(point)?.max(FLOOR))))
        .collect()
}

/// The least and the greatest value.
fn range<'a>(lines: impl Iterator<Item = &'a Line> + Clone) -> Option<(f64, f64)> {
    let values = || lines.clone().flatten().flatten().map(|(_, y)| *y);
    Some((values().reduce(f64::min)?, values().reduce(f64::max)?))
}

fn last(line: &Line) -> Option<f64> {
    line.iter().rev().flatten().next().map(|(_, y)| *y)
}

/// Quantiles of the total.
pub(in crate::report::html) fn observed_latency(
    id: &str,
    series: &ObservedSeries,
) -> Option<Figure> {
    let of = |quantile: usize| line(series, |point| Some(point.total_ms?[quantile]));
    let lines = [
        ("p50", of(0)),
        ("p95", of(1)),
        ("p99", of(2)),
        ("max", of(3)),
    ];
    let (low, high) = range(lines.iter().map(|(_, line)| line))?;
    let band = |lower: usize, upper: usize| -> Vec<Option<(f64, f64, f64)>> {
        let pairs = lines[lower].1.iter().zip(&lines[upper].1);
        pairs
            .map(|(a, b)| Some((a.as_ref()?.0, a.as_ref()?.1, b.as_ref()?.1)))
            .collect()
    };
    let text = FigureText {
        id,
        title: "Latency over time",
        description: &format!(
            "Over the {} s of the observation: median, p95, p99 and maximum of the total in each period, from {} to {} ms.",
            number(series.length_s.round()),
            number(low),
            number(high)
        ),
    };
    Some(Figure::new(text, 340.0, |size| {
        let x = Axis::new(Scale::Linear, 0.0, series.length_s);
        let y = Axis::new(Scale::Logarithmic, low * 0.8, high * 1.2);
        let mut plot = Plot::new(size, 40.0, x, y);
        plot.vertical("ms");
        time_axis(&mut plot, series.length_s, size.ticks);
        plot.band("outer", &band(1, 2));
        plot.band("inner", &band(0, 1));
        for (place, class) in [(3, "faint"), (2, "thin"), (1, "thin"), (0, "strong")] {
            plot.line(class, &lines[place].1);
        }
        let ends = lines.iter().rev();
        let ends = ends.filter_map(|(name, line)| Some((last(line)?, "", (*name).to_owned())));
        plot.names(ends.collect());
        plot
    }))
}

/// The median of each hop.
pub(in crate::report::html) fn observed_medians(
    id: &str,
    series: &ObservedSeries,
) -> Option<Figure> {
    let lines: Vec<(&String, Line)> = series
        .hops
        .keys()
        .map(|hop| {
            (
                hop,
                line(series, |point| point.medians_ms.get(hop).copied()),
            )
        })
        .collect();
    let (low, high) = range(lines.iter().map(|(_, line)| line))?;
    let text = FigureText {
        id,
        title: "Hops over time",
        description: &format!(
            "Median of each hop and of the total in each period, from {} to {} ms, on a logarithmic axis.",
            number(low),
            number(high)
        ),
    };
    Some(Figure::new(text, 300.0, |size| {
        let x = Axis::new(Scale::Linear, 0.0, series.length_s);
        let y = Axis::new(Scale::Logarithmic, low * 0.8, high * 1.2);
        let mut plot = Plot::new(size, 84.0, x, y);
        plot.vertical("ms");
        time_axis(&mut plot, series.length_s, size.ticks);
        for (hop, line) in &lines {
            plot.line(hop_class(hop), line);
        }
        let ends = lines.iter().filter_map(|(hop, line)| {
            let class = hop_class(hop);
            Some((last(line)?, class, (*hop).clone()))
        });
        plot.names(ends.collect());
        plot
    }))
}

/// Changes a second that came to their end.
pub(in crate::report::html) fn observed_rate(id: &str, series: &ObservedSeries) -> Option<Figure> {
    let points = series.points.iter();
    let rates: Line = points
        .map(|point| Some((point.middle_s, point.per_s)))
        .collect();
    let high = rates.iter().flatten().map(|(_, y)| *y).reduce(f64::max)?;
    let area: Vec<_> = rates
        .iter()
        .map(|point| point.map(|(x, y)| (x, 0.0, y)))
        .collect();
    let text = FigureText {
        id,
        title: "Throughput over time",
        description: &format!(
            "Changes a second that came to their end, in each period; {} at most.",
            number(high.round())
        ),
    };
    Some(Figure::new(text, 220.0, |size| {
        let x = Axis::new(Scale::Linear, 0.0, series.length_s);
        let y = Axis::new(Scale::Linear, 0.0, (high * 1.15).max(1.0));
        let mut plot = Plot::new(size, 40.0, x, y);
        plot.vertical("changes/s");
        time_axis(&mut plot, series.length_s, size.ticks);
        plot.band("inner", &area);
        plot.line("strong", &rates);
        plot
    }))
}
