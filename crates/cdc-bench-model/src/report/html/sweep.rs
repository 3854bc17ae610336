//! The page of a sweep.

use askama::Template;

use super::PageError;
use super::axis::{Axis, Scale, number};
use super::plot::{Figure, FigureText, Plot, Size};
use crate::analysis::HopStatistics;
use crate::report::figures::ms;
use crate::report::sweep::{PathSweep, Step, SweepReport, cells, conclusions, verdict};
use crate::timeline::CapturePath;

/// The page of a sweep.
///
/// # Errors
/// When the template cannot be rendered.
pub fn sweep_page(sweep: &SweepReport) -> Result<String, PageError> {
    Ok(SweepPage::of(sweep).render()?)
}

#[derive(Template)]
#[template(path = "sweep.html")]
struct SweepPage<'a> {
    sweep: &'a SweepReport,
    headline: String,
    latency: Option<Figure>,
    reached: Option<Figure>,
    paths: Vec<SweptPath<'a>>,
    has_debezium: bool,
    has_knee: bool,
    version: &'static str,
}

struct SweptPath<'a> {
    name: &'a str,
    class: String,
    conclusions: Vec<String>,
    rows: Vec<StepRow<'a>>,
}

struct StepRow<'a> {
    rate: String,
    class: &'static str,
    /// Whether the objectives hold, as a sign beside the rate.
    sign: &'static str,
    /// Reached, p50, p95, p99, max, schedule lag, CPU.
    figures: [String; 7],
    verdict: String,
    folder: &'a str,
}

impl<'a> SweepPage<'a> {
    fn of(sweep: &'a SweepReport) -> Self {
        Self {
            sweep,
            headline: headline(sweep),
            latency: latency(sweep),
            reached: reached(sweep),
            paths: sweep.paths.iter().enumerate().map(section).collect(),
            has_debezium: sweep
                .paths
                .iter()
                .any(|path| path.path == CapturePath::Debezium),
            has_knee: sweep.paths.iter().any(|path| path.knee.is_some()),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn headline(sweep: &SweepReport) -> String {
    let texts = sweep
        .paths
        .iter()
        .map(|path| match path.highest_rate_per_s {
            Some(rate) => format!("{} holds up to {rate} events/s", path.path),
            None => format!("{} holds at none of the rates", path.path),
        });
    texts.collect::<Vec<_>>().join("; ")
}

/// Colour and dashes of a path, by its place.
fn class(place: usize) -> String {
    format!("path-{place}")
}

fn section<'a>((place, path): (usize, &'a PathSweep)) -> SweptPath<'a> {
    SweptPath {
        name: path.path.as_str(),
        class: class(place),
        conclusions: conclusions(path),
        rows: path.steps.iter().map(row).collect(),
    }
}

fn row(step: &Step) -> StepRow<'_> {
    let [rate, figures @ ..] = cells(step);
    let (class, sign) = match step {
        step if step.objectives.is_empty() => ("", ""),
        step if step.holds() => ("pass", "✓ "),
        _ => ("fail", "✗ "),
    };
    StepRow {
        rate,
        class,
        sign,
        figures,
        verdict: verdict(step),
        folder: &step.folder,
    }
}

/// What is drawn against the rate.
struct Curve {
    /// Colour and dashes.
    class: String,
    dots: Vec<Dot>,
    /// At its end, on a wide screen and on a narrow one.
    names: Option<[String; 2]>,
    /// The knee of p99.
    knee_at: Option<f64>,
}

/// One step of a curve.
#[derive(Clone, Copy)]
struct Dot {
    rate: f64,
    value: f64,
    /// Whether the step met its objectives.
    holds: bool,
}

impl Curve {
    /// What `pick` reads off the steps of a path that have a rate.
    fn of(place: usize, path: &PathSweep, pick: impl Fn(&Step) -> Option<f64>) -> Self {
        let dot = |(rate, step): (f64, &Step)| {
            let (value, holds) = (pick(step)?, step.holds());
            Some(Dot { rate, value, holds })
        };
        Self {
            class: class(place),
            dots: path.numbered().filter_map(dot).collect(),
            names: None,
            knee_at: None,
        }
    }

    fn points(&self, of: impl Fn(&Dot) -> bool) -> Vec<Option<(f64, f64)>> {
        let dots = self.dots.iter().filter(|dot| of(dot));
        dots.map(|dot| Some((dot.rate, dot.value))).collect()
    }

    /// The line, a dot a step, hollow where an objective was missed, and a ring where the knee is.
    fn draw(&self, plot: &mut Plot) {
        plot.line(&self.class, &self.points(|_| true));
        if self.names.is_none() {
            return;
        }
        plot.dots(&self.class, &self.points(|dot| dot.holds));
        let missed = format!("missed {}", self.class);
        plot.dots(&missed, &self.points(|dot| !dot.holds));
        let knee = self.points(|dot| Some(dot.rate) == self.knee_at);
        plot.rings(&self.class, &knee);
    }
}

/// Curves with the rate along a logarithmic axis, and what they are held against.
#[derive(Default)]
struct OverRate {
    what: &'static str,
    curves: Vec<Curve>,
    /// Objectives: a value and how it reads.
    limits: Vec<(f64, String)>,
    /// Rates of knees, and whose they are.
    knees: Vec<(f64, String)>,
}

/// Room for the name of a knee, in units of the plot.
const KNEE_WIDTH: f64 = 120.0;
/// Room for a letter of a name.
const LETTER_WIDTH: f64 = 9.2;

impl OverRate {
    fn figure(&self, text: FigureText<'_>) -> Option<Figure> {
        let rates = self.rates();
        let (left, right) = (*rates.first()?, *rates.last()?);
        let values = || self.curves.iter().flat_map(|curve| &curve.dots);
        let limits = || self.limits.iter().map(|(limit, _)| *limit);
        let values = || values().map(|dot| dot.value).chain(limits());
        let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        Some(Figure::new(text, 380.0, |size| {
            let x = Axis::new(Scale::Logarithmic, left * 0.9, right * 1.1);
            let y = Axis::new(Scale::Logarithmic, low * 0.8, high * 1.3);
            let mut plot = Plot::new(size, self.room(size), x, y);
            plot.vertical(self.what);
            // The rates that were tried, as far as they have room.
            let step = rates.len().div_ceil(size.ticks).max(1);
            let ticks = rates.iter().step_by(step);
            let ticks: Vec<_> = ticks.map(|rate| (*rate, number(*rate))).collect();
            plot.horizontal(&ticks, "events/s offered");
            self.draw_knees(&mut plot);
            for (limit, text) in &self.limits {
                plot.level("limit", *limit, text);
            }
            self.curves.iter().for_each(|curve| curve.draw(&mut plot));
            self.name(&mut plot, size, right);
            plot
        }))
    }

    /// Those that were tried, ascending.
    fn rates(&self) -> Vec<f64> {
        let dots = self.curves.iter().flat_map(|curve| &curve.dots);
        let mut rates: Vec<f64> = dots.map(|dot| dot.rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    fn names(&self, size: Size) -> impl Iterator<Item = (&Curve, &str)> {
        let curves = self.curves.iter();
        curves.filter_map(move |curve| {
            let [long, short] = curve.names.as_ref()?;
            Some((curve, if size.is_narrow() { short } else { long }.as_str()))
        })
    }

    /// For the names at the right.
    fn room(&self, size: Size) -> f64 {
        let longest = self.names(size).map(|(_, name)| name.len()).max();
        longest.unwrap_or(0) as f64 * LETTER_WIDTH + 12.0
    }

    /// The paths of a knee are named where there is room.
    fn draw_knees(&self, plot: &mut Plot) {
        let place = |knee: &(f64, String)| plot.x.place(knee.0);
        let mut pairs = self.knees.windows(2);
        let has_room =
            !plot.is_narrow() && pairs.all(|pair| place(&pair[1]) - place(&pair[0]) > KNEE_WIDTH);
        for (rate, whose) in &self.knees {
            let label = format!("knee of {whose}");
            plot.mark("knee", *rate, if has_room { &label } else { "knee" });
        }
    }

    /// A name is placed where its curve ends: at the right, or earlier where no higher rate was tried.
    fn name(&self, plot: &mut Plot, size: Size, right: f64) {
        let mut ends: Vec<(Dot, &str, String)> = self
            .names(size)
            .filter_map(|(curve, name)| {
                Some((*curve.dots.last()?, curve.class.as_str(), name.to_owned()))
            })
            .collect();
        ends.sort_by(|(a, ..), (b, ..)| a.rate.total_cmp(&b.rate));
        for group in ends.chunk_by(|(a, ..), (b, ..)| a.rate == b.rate) {
            let names = group.iter();
            let names = names.map(|(dot, class, name)| (dot.value, *class, name.clone()));
            let rate = group[0].0.rate;
            if rate == right {
                plot.names(names.collect());
            } else {
                plot.names_at(plot.x.place(rate) + 10.0, names.collect());
            }
        }
    }
}

/// The knees by their rate, each with the paths that have it there.
fn knees(sweep: &SweepReport) -> Vec<(f64, String)> {
    let mut knees: Vec<(f64, String)> = Vec::new();
    for path in &sweep.paths {
        let Some(knee) = path.knee else { continue };
        match knees.iter_mut().find(|(rate, _)| *rate == knee.rate_per_s) {
            Some((_, whose)) => *whose = format!("{whose}, {}", path.path),
            None => knees.push((knee.rate_per_s, path.path.to_string())),
        }
    }
    knees.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    knees
}

/// The objective of this name, in milliseconds.
fn limit_ms(sweep: &SweepReport, name: &str) -> Option<f64> {
    let steps = sweep.paths.iter().flat_map(|path| &path.steps);
    let mut objectives = steps.flat_map(|step| &step.objectives);
    let objective = objectives.find(|objective| objective.name == name)?;
    objective.limit_ms()
}

/// Latency against rate: p99 of each path, p50 beneath it, and their objectives.
fn latency(sweep: &SweepReport) -> Option<Figure> {
    let total = |step: &Step, pick: fn(&HopStatistics) -> i64| {
        let total = step.total.as_ref().filter(|total| total.count > 0)?;
        Some(pick(total).max(1) as f64 / 1e3)
    };
    let mut curves = Vec::new();
    for (place, path) in sweep.paths.iter().enumerate() {
        let names =
            |quantile: &str| Some([format!("{} {quantile}", path.path), quantile.to_owned()]);
        let p50 = Curve::of(place, path, |step| total(step, |total| total.p50));
        curves.push(Curve {
            class: format!("thin {}", p50.class),
            names: names("p50"),
            ..p50
        });
        curves.push(Curve {
            names: names("p99"),
            knee_at: path.knee.map(|knee| knee.rate_per_s),
            ..Curve::of(place, path, |step| total(step, |total| total.p99))
        });
    }
    let texts = sweep.paths.iter().map(|path| {
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
    let limits = [("p50", "p50_ms"), ("p99", "p99_ms")];
    let limits = limits.into_iter().filter_map(|(quantile, name)| {
        let limit = limit_ms(sweep, name)?;
        Some((limit, format!("{quantile} < {limit} ms")))
    });
    let plot = OverRate {
        what: "ms",
        curves,
        limits: limits.collect(),
        knees: knees(sweep),
    };
    plot.figure(FigureText {
        id: "latency",
        title: "Latency against rate",
        description: &format!(
            "The time from INSERT to document, p50 and p99, at each rate; both axes logarithmic. {}",
            texts.collect::<Vec<_>>().join(" ")
        ),
    })
}

/// Achieved rate against offered rate, with the line on which they are equal.
fn reached(sweep: &SweepReport) -> Option<Figure> {
    let path = |(place, path): (usize, &PathSweep)| {
        let names = [path.path.to_string(), path.path.to_string()];
        Curve {
            names: Some(names),
            ..Curve::of(place, path, |step| step.achieved_per_s)
        }
    };
    let mut plot = OverRate {
        what: "events/s reached",
        curves: sweep.paths.iter().enumerate().map(path).collect(),
        ..OverRate::default()
    };
    let same = plot.rates().into_iter().map(|rate| Dot {
        rate,
        value: rate,
        holds: true,
    });
    let all_of_it = Curve {
        class: "faint".to_owned(),
        dots: same.collect(),
        names: None,
        knee_at: None,
    };
    plot.curves.insert(0, all_of_it);
    plot.figure(FigureText {
        id: "reached",
        title: "Rate reached against rate offered",
        description: "Events a second through the pipeline against events a second on the schedule, both axes logarithmic. On the dotted line all that was offered was reached; the table has the figures.",
    })
}
