//! Memory, descriptors and threads over the time of a run.

use std::collections::BTreeSet;

use super::over_time::time_axis;
use crate::report::Footprint;
use crate::report::html::axis::{Axis, Scale, number};
use crate::report::html::plot::{Figure, FigureText, Plot};

/// A footprint at a time of the run, in seconds since the first INSERT.
pub(in crate::report::html) type TimedFootprint<'a> = (f64, &'a Footprint);

/// A line of such a plot.
struct Line {
    name: String,
    class: &'static str,
    points: Vec<Option<(f64, f64)>>,
}

impl Line {
    fn of(
        (name, class): (&str, &'static str),
        samples: &[TimedFootprint<'_>],
        value: impl Fn(&Footprint) -> Option<u64>,
    ) -> Self {
        let samples = samples.iter();
        Self {
            name: name.to_owned(),
            class,
            points: samples
                .map(|(at, sample)| Some((*at, value(sample)? as f64)))
                .collect(),
        }
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.points.iter().flatten().map(|(_, value)| *value)
    }

    /// First value, last and highest, as words.
    fn summary(&self, unit: &str) -> String {
        let first = self.values().next().unwrap_or(0.0);
        let last = self.values().last().unwrap_or(0.0);
        let most = self.values().fold(0.0, f64::max);
        format!(
            "{} from {} to {}{unit}, {}{unit} at most",
            self.name,
            number(first.round()),
            number(last.round()),
            number(most.round())
        )
    }
}

/// Resident memory of this program and of the servers that it started; `None` without at least two samples.
pub(in crate::report::html) fn memory(samples: &[TimedFootprint<'_>]) -> Option<Figure> {
    let mib = |bytes: u64| bytes >> 20;
    let names: BTreeSet<&str> = samples
        .iter()
        .flat_map(|(_, sample)| sample.servers.keys().map(String::as_str))
        .collect();
    let own = Line::of(("cdc-bench", "strong"), samples, |sample| {
        Some(mib(sample.resident))
    });
    let servers = names.into_iter().map(|name| {
        Line::of((name, "thin"), samples, |sample| {
            sample.servers.get(name).copied().map(mib)
        })
    });
    let lines: Vec<_> = std::iter::once(own).chain(servers).collect();
    draw(
        ("memory", "Memory over time", "MiB", " MiB"),
        samples,
        &lines,
    )
}

/// Open descriptors and threads of this program; `None` without at least two samples.
pub(in crate::report::html) fn handles(samples: &[TimedFootprint<'_>]) -> Option<Figure> {
    let lines = [
        Line::of(("descriptors", "strong"), samples, |sample| {
            Some(sample.descriptors)
        }),
        Line::of(("threads", "thin"), samples, |sample| Some(sample.threads)),
    ];
    draw(
        ("handles", "Descriptors and threads over time", "open", ""),
        samples,
        &lines,
    )
}

fn draw(
    (id, title, axis, unit): (&str, &str, &str, &str),
    samples: &[TimedFootprint<'_>],
    lines: &[Line],
) -> Option<Figure> {
    let [_, .., (last, _)] = samples else {
        return None;
    };
    let high = lines.iter().flat_map(Line::values).reduce(f64::max)?;
    let summaries: Vec<_> = lines.iter().map(|line| line.summary(unit)).collect();
    let text = FigureText {
        id,
        title,
        description: &format!("{}.", summaries.join("; ")),
    };
    Some(Figure::new(text, 200.0, |size| {
        let x = Axis::new(Scale::Linear, 0.0, *last);
        let y = Axis::new(Scale::Linear, 0.0, high * 1.15);
        let mut plot = Plot::new(size, 84.0, x, y);
        plot.vertical(axis);
        time_axis(&mut plot, *last, size.ticks);
        for line in lines {
            plot.line(line.class, &line.points);
        }
        let ends = lines.iter().filter_map(|line| {
            let end = line.values().last()?;
            Some((end, "", line.name.clone()))
        });
        plot.names(ends.collect());
        plot
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_was_taken_is_drawn_and_told_from_its_first_value_to_its_last() {
        let sample = |second: i64, mib: u64| Footprint {
            at: jiff::Timestamp::from_second(second).unwrap(),
            resident: mib << 20,
            descriptors: 100 + mib,
            threads: 30,
            servers: BTreeMap::from([("kafka".to_owned(), 400 << 20)]),
        };
        let samples = [sample(0, 50), sample(1, 70), sample(2, 60)];
        let timed = |n: usize| -> Vec<TimedFootprint<'_>> {
            let times = [0.0, 1.0, 2.0].into_iter();
            times.zip(&samples).take(n).collect()
        };
        let figure = memory(&timed(3)).unwrap();
        let told = "cdc-bench from 50 to 60 MiB, 70 MiB at most; kafka from 400 to 400 MiB, 400 MiB at most.";
        assert!(figure.wide.contains(told), "{}", figure.wide);
        let told = "descriptors from 150 to 160, 170 at most; threads from 30 to 30, 30 at most.";
        assert!(handles(&timed(3)).unwrap().narrow.contains(told));
        assert!(memory(&timed(1)).is_none());
    }
}
