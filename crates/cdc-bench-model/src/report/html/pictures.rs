//! What is drawn of a run.

use super::plot::{Axis, Figure, Plot, Size, Spread, Words, number};
use crate::analysis::{OverTime, PathDigest, SignedHistogram, Travelled};
use crate::report::figures::ms;
use crate::report::{CHECKPOINT, LOAD_PAUSED, RATE_CHANGED, REBALANCE, WARM_UP_CUT};
use crate::timeline::{Hop, Nanos, Stamp};

/// Something that happened, at a time of the run.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// Seconds since the first INSERT.
    pub(super) at_s: f64,
    /// How long it went on.
    pub(super) took_s: Option<f64>,
    /// Its number in the list beneath the plot.
    pub(super) number: usize,
    pub(super) sort: Sort,
}

/// What sort of thing happened: a line of its own, and a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// Somebody was away.
    Fault,
    /// The load was steered.
    Load,
    Rebalance,
    Checkpoint,
}

impl Sort {
    /// Of an incident of this kind.
    pub(super) fn of(kind: &str) -> Self {
        match kind {
            CHECKPOINT => Self::Checkpoint,
            REBALANCE => Self::Rebalance,
            LOAD_PAUSED | RATE_CHANGED | WARM_UP_CUT => Self::Load,
            _ => Self::Fault,
        }
    }

    /// Its word, and its class in the page.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Load => "load",
            Self::Rebalance => "rebalance",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// What is said of the marks to who cannot see them.
fn marked(marks: &[Mark]) -> String {
    if marks.is_empty() {
        return String::new();
    }
    let said: Vec<_> = marks
        .iter()
        .map(|mark| {
            format!(
                "{} {} at {:.1} s",
                mark.number,
                mark.sort.as_str(),
                mark.at_s
            )
        })
        .collect();
    format!(" Marked by their numbers in the list: {}.", said.join(", "))
}

/// Marks with a number each, and the word beside it where there is room; of marks too close for that, the numbers from
/// the first to the last.
fn draw_marks(plot: &mut Plot, marks: &[Mark]) {
    for mark in marks {
        let class = format!("incident {}", mark.sort.as_str());
        if let Some(took) = mark.took_s {
            plot.stretch(&class, mark.at_s, mark.at_s + took);
        }
        plot.rule(&class, mark.at_s);
    }
    let mut marks: Vec<_> = marks.iter().collect();
    marks.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    let near = |a: &&Mark, b: &&Mark| plot.x.place(b.at_s) - plot.x.place(a.at_s) < NUMBER_WIDTH;
    let groups: Vec<_> = marks.chunk_by(near).collect();
    let mut labels = Vec::new();
    for (n, group) in groups.iter().enumerate() {
        let [first, .., last] = group else {
            let mark = group[0];
            let word = format!("{} {}", mark.number, mark.sort.as_str());
            let room = word.len() as f64 * LETTER_WIDTH + NUMBER_WIDTH;
            let place = plot.x.place(mark.at_s);
            let next = groups.get(n + 1).map(|next| plot.x.place(next[0].at_s));
            let fits = place + room < next.unwrap_or(plot.right_end());
            labels.push((mark.at_s, if fits { word } else { mark.number.to_string() }));
            continue;
        };
        labels.push((first.at_s, format!("{}–{}", first.number, last.number)));
    }
    for (at, label) in labels {
        plot.label("incident", at, &label);
    }
}

/// Room for a number, and for a letter, in units of the plot.
const NUMBER_WIDTH: f64 = 26.0;
const LETTER_WIDTH: f64 = 7.2;

fn millis(us: u64) -> f64 {
    us as f64 / 1e3
}

/// Seconds or minutes, whichever read better for a time of this length.
fn time_axis(plot: &mut Plot, length_s: f64, most: usize) {
    let (unit, name) = if length_s > 600.0 {
        (60.0, "minutes since the first INSERT")
    } else {
        (1.0, "seconds since the first INSERT")
    };
    let ticks: Vec<_> = Axis::new(Spread::Linear, 0.0, length_s / unit)
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
pub(super) fn latency_over_time(id: &str, path: &PathDigest, marks: &[Mark]) -> Option<Figure> {
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
    let words = Words {
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
    Some(Figure::new(words, 340.0, |size| {
        let x = Axis::new(Spread::Linear, 0.0, length_s(&series));
        let y = Axis::new(Spread::Logarithmic, low * 0.8, high * 1.2);
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
            // Of lines that end together, the upper one's name stands above.
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
pub(super) fn throughput(
    id: &str,
    path: &PathDigest,
    average_per_s: f64,
    marks: &[Mark],
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
    let words = Words {
        id,
        title: "Throughput over time",
        description: &format!(
            "Events a second in periods of {} s: sent to PostgreSQL, and acknowledged by the store. {average_per_s} a second on average, from the first INSERT to the last acknowledgement.{}",
            number(length),
            marked(marks)
        ),
    };
    Some(Figure::new(words, 240.0, |size| {
        let x = Axis::new(Spread::Linear, 0.0, length_s(&series));
        let y = Axis::new(Spread::Linear, 0.0, high * 1.15);
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

/// The quantiles that are drawn of a distribution of `count` values: evenly on the logarithm of what is left above.
fn quantiles(count: u64) -> Vec<f64> {
    const A_DECADE: i32 = 16;
    let last = (count.max(2) as f64).log10();
    let steps = (0..).map(|n| f64::from(n) / f64::from(A_DECADE));
    let nines = steps.take_while(|nines| *nines < last);
    nines.map(|nines| 1.0 - 10f64.powf(-nines)).collect()
}

/// One distribution of a percentile plot.
pub(super) struct Distribution<'a> {
    pub(super) name: String,
    /// Of the page: colour and dashes.
    pub(super) class: String,
    pub(super) spans: &'a SignedHistogram,
}

/// Distributions as HdrHistogram plots them: what share of the events was faster, up to the last one, on an axis where
/// each nine has the same room.
pub(super) fn percentiles(
    words: Words<'_>,
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
    Some(Figure::new(words, height, |size| {
        let x = Axis::new(Spread::Logarithmic, 1.0, (most as f64).max(10.0));
        let y = Axis::new(Spread::Logarithmic, low * 0.9, high * 1.2);
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

/// The median of each round, of both sides of a comparison; `None` where neither has several.
pub(super) fn rounds(
    id: &str,
    baseline: &[(u32, i64)],
    candidate: &[(u32, i64)],
) -> Option<Figure> {
    let most = baseline.len().max(candidate.len());
    if most < 2 {
        return None;
    }
    // By their order: rounds of one run that took turns stand above each other.
    let places = |medians: &[(u32, i64)]| -> Vec<Option<(f64, f64)>> {
        let numbered = medians.iter().enumerate();
        numbered
            .map(|(n, (_, us))| Some(((n + 1) as f64, *us as f64 / 1e3)))
            .collect()
    };
    let (first, second) = (places(baseline), places(candidate));
    let high = first
        .iter()
        .chain(&second)
        .flatten()
        .map(|(_, y)| *y)
        .reduce(f64::max)?;
    let words = Words {
        id,
        title: "The total's median by round",
        description: &format!(
            "The median of each of the {} rounds of the baseline and {} of the candidate, up to {} ms: how far rounds of the same thing differ by themselves is what a difference is measured against.",
            baseline.len(),
            candidate.len(),
            number((high * 100.0).round() / 100.0)
        ),
    };
    Some(Figure::new(words, 260.0, |size| {
        let x = Axis::new(Spread::Linear, 0.5, most as f64 + 0.5);
        let y = Axis::new(Spread::Linear, 0.0, high * 1.15);
        let mut plot = Plot::new(size, 84.0, x, y);
        plot.vertical("ms");
        let step = most.div_ceil(size.ticks);
        let ticks: Vec<_> = (1..=most)
            .step_by(step)
            .map(|n| (n as f64, n.to_string()))
            .collect();
        plot.horizontal(&ticks, "round");
        for (class, line) in [("baseline", &first), ("candidate", &second)] {
            plot.line(class, line);
            plot.dots(class, line);
        }
        let end = |name: &'static str, line: &[Option<(f64, f64)>]| {
            let (_, y) = line.last().copied().flatten()?;
            Some((y, name, name.to_owned()))
        };
        let ends = [end("baseline", &first), end("candidate", &second)];
        plot.names(ends.into_iter().flatten().collect());
        plot
    }))
}

/// How the spans of one hop are distributed.
pub(super) fn histogram(id: &str, hop: Hop, spans: &SignedHistogram) -> Option<Figure> {
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
    let words = Words {
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
    Some(Figure::new(words, 190.0, |size| {
        // Several stand beside each other: the small one is for every screen.
        let size = Size {
            width: 360.0,
            ticks: 6,
            ..size
        };
        let x = Axis::new(Spread::Logarithmic, low, high);
        let y = Axis::new(Spread::Linear, 0.0, most as f64 * 1.04);
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

/// One event's way as a bar of hops, as part of the slowest event's length.
#[derive(Debug)]
pub(super) struct Waterfall {
    pub(super) event: String,
    pub(super) id: String,
    pub(super) at_s: String,
    pub(super) total: String,
    /// Hop, where it begins and how wide it is, in percent of the longest.
    pub(super) spans: Vec<(&'static str, String, String)>,
    /// The hops in words.
    pub(super) says: String,
}

/// The slowest events, slowest first.
pub(super) fn waterfall(path: &PathDigest, origin: Stamp) -> Vec<Waterfall> {
    let slowest = path.slowest();
    let longest = slowest.first().map_or(1, |event| event.total().0.max(1));
    slowest
        .iter()
        .map(|event| one_way(event, origin, longest))
        .collect()
}

fn one_way(event: &Travelled, origin: Stamp, longest: i64) -> Waterfall {
    let percent = |span: i64| span as f64 / longest as f64 * 100.0;
    let mut spans = Vec::new();
    let mut says = Vec::new();
    let mut at = 0;
    for hop in Hop::PIPELINE {
        let Some(span) = event.hops.get(hop) else {
            continue;
        };
        let name = hop.as_str();
        // A hop below zero has no width, and the next one begins earlier.
        spans.push((
            name,
            format!("{:.2}", percent(at.max(0))),
            format!("{:.2}", percent(span.0.max(0))),
        ));
        says.push(format!("{name} {}", ms(span.round_micros())));
        at += span.0;
    }
    Waterfall {
        event: event.event_type.to_string(),
        id: event.id.to_string(),
        at_s: format!("{:.1}", (event.t0 - origin).as_millis_f64() / 1e3),
        total: ms(event.total().round_micros()),
        spans,
        says: says.join(", "),
    }
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
