//! The page of a sweep.

use askama::Template;

use super::PageError;
use super::plot::{Axis, Figure, Plot, Spread, Words, number};
use crate::analysis::HopStatistics;
use crate::report::figures::ms;
use crate::report::sweep::{PathSweep, Step, SweepReport, cells, conclusions, verdict};

/// The page of a sweep.
///
/// # Errors
/// When the template does not take it.
pub fn sweep_page(sweep: &SweepReport) -> Result<String, PageError> {
    Ok(Page::of(sweep).render()?)
}

#[derive(Template)]
#[template(path = "sweep.html")]
struct Page<'a> {
    sweep: &'a SweepReport,
    headline: String,
    latency: Option<Figure>,
    reached: Option<Figure>,
    paths: Vec<PathSection<'a>>,
    version: &'static str,
}

struct PathSection<'a> {
    name: &'a str,
    class: String,
    conclusions: Vec<String>,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    rate: String,
    class: &'static str,
    /// Reached, p50, p95, p99, max, schedule lag, CPU.
    figures: [String; 7],
    verdict: String,
    folder: &'a str,
}

impl<'a> Page<'a> {
    fn of(sweep: &'a SweepReport) -> Self {
        Self {
            sweep,
            headline: headline(sweep),
            latency: latency(sweep),
            reached: reached(sweep),
            paths: sweep.paths.iter().enumerate().map(section).collect(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn headline(sweep: &SweepReport) -> String {
    let said = sweep
        .paths
        .iter()
        .map(|path| match path.highest_rate_per_s {
            Some(rate) => format!("{} holds up to {rate} events/s", path.path),
            None => format!("{} holds at none of the rates", path.path),
        });
    said.collect::<Vec<_>>().join("; ")
}

/// Colour and dashes of a path, by its place.
fn class(place: usize) -> String {
    format!("path-{place}")
}

fn section<'a>((place, path): (usize, &'a PathSweep)) -> PathSection<'a> {
    PathSection {
        name: path.path.as_str(),
        class: class(place),
        conclusions: conclusions(path),
        rows: path.steps.iter().map(row).collect(),
    }
}

fn row(step: &Step) -> Row<'_> {
    let [rate, figures @ ..] = cells(step);
    Row {
        rate,
        class: match step {
            step if step.objectives.is_empty() => "",
            step if step.holds() => "pass",
            _ => "fail",
        },
        figures,
        verdict: verdict(step),
        folder: &step.folder,
    }
}

/// A curve: its class, its points, and its name where it has one.
type Curve = (String, Vec<Option<(f64, f64)>>, Option<String>);

/// A figure with the rate along a logarithmic axis, and what holds for all of them.
fn over_rate(words: Words<'_>, what: &str, curves: &[Curve], knees: &[f64]) -> Option<Figure> {
    let points = || curves.iter().flat_map(|(_, points, _)| points).flatten();
    let ends = |pick: fn(&(f64, f64)) -> f64| {
        let low = points().map(pick).reduce(f64::min)?;
        let high = points().map(pick).reduce(f64::max)?;
        Some((low, high))
    };
    let ((left, right), (low, high)) = (ends(|(x, _)| *x)?, ends(|(_, y)| *y)?);
    let rates: Vec<f64> = {
        let mut rates: Vec<f64> = points().map(|(rate, _)| *rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    };
    let longest = curves.iter().filter_map(|(.., name)| name.as_ref());
    let room = longest.map(String::len).max().unwrap_or(0) as f64 * 9.2 + 12.0;
    Some(Figure::new(words, 380.0, |size| {
        let x = Axis::new(Spread::Logarithmic, left * 0.9, right * 1.1);
        let y = Axis::new(Spread::Logarithmic, low * 0.8, high * 1.3);
        let mut plot = Plot::new(size, room, x, y);
        plot.vertical(what);
        // The rates that were tried, as far as they have room.
        let step = rates.len().div_ceil(size.ticks);
        let ticks: Vec<_> = rates
            .iter()
            .step_by(step.max(1))
            .map(|rate| (*rate, number(*rate)))
            .collect();
        plot.horizontal(&ticks, "events/s offered");
        for knee in knees {
            plot.mark("quantile", *knee, "knee");
        }
        let mut names = Vec::new();
        for (class, points, name) in curves {
            plot.line(class, points);
            if let Some(name) = name {
                plot.dots(class, points);
                if let Some((_, y)) = points.iter().rev().flatten().next() {
                    names.push((*y, class.as_str(), name.clone()));
                }
            }
        }
        plot.names(names);
        plot
    }))
}

/// Latency against rate: p99 of each path with its dots, p50 beneath it.
fn latency(sweep: &SweepReport) -> Option<Figure> {
    let mut curves: Vec<Curve> = Vec::new();
    for (place, path) in sweep.paths.iter().enumerate() {
        let points = |pick: fn(&HopStatistics) -> i64| -> Vec<_> {
            path.numbered()
                .filter_map(|(rate, step)| {
                    let total = step.total.as_ref().filter(|total| total.count > 0)?;
                    Some(Some((rate, pick(total).max(1) as f64 / 1e3)))
                })
                .collect()
        };
        let (p99, p50) = (points(|total| total.p99), points(|total| total.p50));
        curves.push((class(place), p99, Some(format!("{} p99", path.path))));
        let thin = format!("thin {}", class(place));
        curves.push((thin, p50, Some(format!("{} p50", path.path))));
    }
    let mut knees: Vec<f64> = sweep
        .paths
        .iter()
        .filter_map(|path| Some(path.knee?.rate_per_s))
        .collect();
    knees.sort_by(f64::total_cmp);
    knees.dedup();
    let said = sweep.paths.iter().map(|path| {
        let curve = path.numbered().filter_map(|(rate, step)| {
            let total = step.total.as_ref()?;
            Some(format!("{} ms at {rate}/s", ms(total.p99)))
        });
        format!(
            "{}: p99 {}.",
            path.path,
            curve.collect::<Vec<_>>().join(", ")
        )
    });
    let words = Words {
        id: "latency",
        title: "Latency against rate",
        description: &format!(
            "The time from INSERT to document, p50 and p99, at each rate; both axes logarithmic. {}",
            said.collect::<Vec<_>>().join(" ")
        ),
    };
    over_rate(words, "ms", &curves, &knees)
}

/// What was reached of what was offered, beside the line of those that are the same.
fn reached(sweep: &SweepReport) -> Option<Figure> {
    let mut curves: Vec<Curve> = Vec::new();
    let mut offered: Vec<f64> = Vec::new();
    for (place, path) in sweep.paths.iter().enumerate() {
        let points: Vec<_> = path
            .numbered()
            .filter_map(|(rate, step)| Some(Some((rate, step.achieved_per_s?))))
            .collect();
        offered.extend(points.iter().flatten().map(|(rate, _)| *rate));
        curves.push((class(place), points, Some(path.path.to_string())));
    }
    offered.sort_by(f64::total_cmp);
    let same = offered.iter().map(|rate| Some((*rate, *rate))).collect();
    curves.push(("faint".to_owned(), same, None));
    let words = Words {
        id: "reached",
        title: "Rate reached against rate offered",
        description: "Events a second through the pipeline against events a second on the schedule, both axes logarithmic. On the dotted line all that was offered was reached; the table has the figures.",
    };
    over_rate(words, "events/s reached", &curves, &[])
}
