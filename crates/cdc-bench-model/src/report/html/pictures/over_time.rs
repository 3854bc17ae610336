//! Latency and throughput over the time of a run.

use super::marks::{IncidentMark, draw_marks, marked};
use crate::analysis::{OverTime, PathDigest};
use crate::report::figures::ms;
use crate::report::html::axis::{Axis, Scale, number};
use crate::report::html::plot::{Figure, FigureText, Plot};
use crate::timeline::{Hop, Nanos};

fn millis(us: u64) -> f64 {
    us as f64 / 1e3
}

/// Seconds or minutes, whichever read better for a time of this length.
pub(super) fn time_axis(plot: &mut Plot, length_s: f64, most: usize) {
    let (unit, name) = if length_s > 600.0 {
        (60.0, "minutes since the first INSERT")
    } else {
        (1.0, "seconds since the first INSERT")
    };
    let ticks: Vec<_> = Axis::new(Scale::Linear, 0.0, length_s / unit)
        .ticks(most)
        .into_iter()
        .map(|tick| (tick * unit, number(tick)))
        .collect();
    plot.horizontal(&ticks, name);
}

fn length_s(series: &OverTime) -> f64 {
    series.length().as_millis_f64() / 1e3 * series.periods().len() as f64
}

/// Quantiles of the total over the time of the run.
pub(in crate::report::html) fn latency_over_time(
    id: &str,
    path: &PathDigest,
    marks: &[IncidentMark],
) -> Option<Figure> {
    let series = path.over_time();
    let periods = series.periods();
    let length = series.length().as_millis_f64() / 1e3;
    let at = |quantile: f64| -> Vec<Option<(f64, f64)>> {
        let middle = |n: usize| (n as f64 + 0.5) * length;
        periods
            .iter()
            .enumerate()
            .map(|(n, period)| Some((middle(n), millis(period.total(quantile)?))))
            .collect()
    };
    let lines = [
        ("p50", at(0.5)),
        ("p95", at(0.95)),
        ("p99", at(0.99)),
        ("max", at(1.0)),
    ];
    let values = || lines.iter().flat_map(|(_, line)| line.iter().flatten());
    let low = values().map(|(_, y)| *y).reduce(f64::min)?;
    let high = values().map(|(_, y)| *y).reduce(f64::max)?;
    let band = |lower: usize, upper: usize| -> Vec<Option<(f64, f64, f64)>> {
        lines[lower]
            .1
            .iter()
            .zip(&lines[upper].1)
            .map(|(a, b)| Some((a.as_ref()?.0, a.as_ref()?.1, b.as_ref()?.1)))
            .collect()
    };
    let total = path.hop(Hop::Total)?.statistics(Some(Nanos(0)));
    let text = FigureText {
        id,
        title: "Latency over time",
        description: &format!(
            "Over the {} s of the run, in periods of {} s: quantiles of the total, from p50 (over the whole run {} ms) by p95 ({} ms) and p99 ({} ms) to the slowest event ({} ms).{}",
            number(length_s(&series).round()),
            number(length),
            ms(total.p50),
            ms(total.p95),
            ms(total.p99),
            ms(total.max),
            marked(marks)
        ),
    };
    Some(Figure::new(text, 340.0, |size| {
        let x = Axis::new(Scale::Linear, 0.0, length_s(&series));
        let y = Axis::new(Scale::Logarithmic, low * 0.8, high * 1.2);
        let mut plot = Plot::new(size, 40.0, x, y);
        plot.vertical("ms");
        time_axis(&mut plot, length_s(&series), size.ticks);
        plot.band("outer", &band(1, 2));
        plot.band("inner", &band(0, 1));
        plot.line("faint", &lines[3].1);
        plot.line("thin", &lines[2].1);
        plot.line("thin", &lines[1].1);
        plot.line("strong", &lines[0].1);
        draw_marks(&mut plot, marks);
        let ends = lines
            .iter()
            // Upper lines first, so that the order of the names is that of the lines.
            .rev()
            .filter_map(|(name, line)| {
                let (_, y) = line.iter().rev().flatten().next()?;
                Some((*y, "", (*name).to_owned()))
            })
            .collect();
        plot.names(ends);
        plot
    }))
}

/// Events a second, sent and in the store, over the time of the run.
pub(in crate::report::html) fn throughput(
    id: &str,
    path: &PathDigest,
    average_per_s: f64,
    marks: &[IncidentMark],
) -> Option<Figure> {
    let series = path.over_time();
    let length = series.length().as_millis_f64() / 1e3;
    let rates = |of: fn(&crate::analysis::Period) -> u64| -> Vec<Option<(f64, f64)>> {
        let periods = series.periods().iter().enumerate();
        periods
            .map(|(n, period)| Some(((n as f64 + 0.5) * length, of(period) as f64 / length)))
            .collect()
    };
    let (sent, written) = (rates(crate::analysis::Period::sent), rates(|p| p.written));
    let high = sent
        .iter()
        .chain(&written)
        .flatten()
        .map(|(_, y)| *y)
        .reduce(f64::max)?;
    let area: Vec<_> = written
        .iter()
        .map(|point| point.map(|(x, y)| (x, 0.0, y)))
        .collect();
    let text = FigureText {
        id,
        title: "Throughput over time",
        description: &format!(
            "Events a second in periods of {} s: sent to PostgreSQL, and acknowledged by the store. {average_per_s} a second on average, from the first INSERT to the last acknowledgement.{}",
            number(length),
            marked(marks)
        ),
    };
    Some(Figure::new(text, 240.0, |size| {
        let x = Axis::new(Scale::Linear, 0.0, length_s(&series));
        let y = Axis::new(Scale::Linear, 0.0, high * 1.15);
        let mut plot = Plot::new(size, 64.0, x, y);
        plot.vertical("events/s");
        time_axis(&mut plot, length_s(&series), size.ticks);
        plot.band("inner", &area);
        plot.line("strong", &written);
        plot.line("dashed", &sent);
        draw_marks(&mut plot, marks);
        let end = |line: &[Option<(f64, f64)>]| {
            // The last period is seldom whole.
            let last = line.iter().rev().nth(1).or_else(|| line.last());
            last.copied().flatten().map_or(0.0, |(_, y)| y)
        };
        plot.names(vec![
            (end(&written), "", "in store".to_owned()),
            (end(&sent), "", "sent".to_owned()),
        ]);
        plot
    }))
}
