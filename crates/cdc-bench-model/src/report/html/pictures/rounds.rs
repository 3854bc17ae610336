//! The medians of the rounds of both sides of a comparison.

use crate::report::html::axis::{Axis, Scale, number};
use crate::report::html::plot::{Figure, FigureText, Plot};

/// The median of each round, of both sides of a comparison; `None` where neither has several.
pub(in crate::report::html) fn rounds(
    id: &str,
    baseline: &[(u32, i64)],
    candidate: &[(u32, i64)],
) -> Option<Figure> {
    let most = baseline.len().max(candidate.len());
    if most < 2 {
        return None;
    }
    // By order, so that interleaved rounds of one run are aligned.
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
    let text = FigureText {
        id,
        title: "The total's median by round",
        description: &format!(
            "The median of each of the {} rounds of the baseline and {} of the candidate, up to {} ms: how far rounds of the same thing differ by themselves is what a difference is measured against.",
            baseline.len(),
            candidate.len(),
            number((high * 100.0).round() / 100.0)
        ),
    };
    Some(Figure::new(text, 260.0, |size| {
        let x = Axis::new(Scale::Linear, 0.5, most as f64 + 0.5);
        let y = Axis::new(Scale::Linear, 0.0, high * 1.15);
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
