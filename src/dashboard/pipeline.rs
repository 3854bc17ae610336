//! The pipeline as a row of stages, the way between two of them lit where it takes longest.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::theme::Theme;
use super::{digits, figures};
use crate::live::{HopState, PathState};
use cdc_bench_model::timeline::{CapturePath, Hop};

/// Narrower than this, the stages stand one below the other.
pub(super) const ROW: u16 = 72;
/// Lines of the row where the stages are words on a line.
const LOW: u16 = 5;
/// Lines where they have frames and the medians are large, and of a hop's parts below.
const HIGH: u16 = 8;
const PARTS: u16 = 2;

/// Where events are, and the ways between.
struct Stages {
    names: Vec<String>,
    ways: Vec<Way>,
}

struct Way {
    hop: Hop,
    state: Option<HopState>,
    is_slowest: bool,
    /// What the hop is made of, in words: one a line.
    parts: Vec<String>,
}

impl Stages {
    fn of(path: &PathState, store: &str) -> Self {
        let has_kafka = path.path != CapturePath::Embedded;
        let mut names = vec!["PostgreSQL", "WAL", "Kafka", "consumer", store];
        let mut hops = Hop::PIPELINE.to_vec();
        if !has_kafka {
            names.retain(|name| *name != "Kafka");
            hops.retain(|hop| *hop != Hop::KafkaDelivery);
        }
        let slowest = path.slowest();
        let way = |hop: Hop| Way {
            hop,
            state: path.hop(hop).copied(),
            is_slowest: slowest == Some(hop),
            parts: parts(path, hop),
        };
        Self {
            names: names.into_iter().map(ToOwned::to_owned).collect(),
            ways: hops.into_iter().map(way).collect(),
        }
    }
}

/// The medians of a hop's parts.
fn parts(path: &PathState, hop: Hop) -> Vec<String> {
    let part = |part: &Hop| {
        let state = path.hop(*part)?;
        Some(format!(
            "{} {}",
            part.as_str(),
            figures::span_text(state.p50_us)
        ))
    };
    hop.parts().iter().filter_map(part).collect()
}

/// Lines that the pipeline takes in a space of this size.
pub(super) fn height(path: CapturePath, width: u16, room: u16) -> u16 {
    if width < ROW {
        return if path == CapturePath::Embedded { 7 } else { 9 };
    }
    if room >= 3 * HIGH { HIGH + PARTS } else { LOW }
}

/// Draws it. `beat` moves what flows.
pub(super) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    path: &PathState,
    store: &str,
    beat: u16,
    theme: Theme,
) {
    let stages = Stages::of(path, store);
    let flows = path.throughput.now_per_s > 0.0;
    let pen = Pen {
        theme,
        beat: flows.then_some(beat),
    };
    if area.width < ROW {
        pen.column(buffer, area, &stages);
    } else if area.height >= HIGH {
        pen.high_row(buffer, area, &stages);
    } else {
        pen.low_row(buffer, area, &stages);
    }
}

struct Pen {
    theme: Theme,
    /// Moves what flows; `None` when nothing does.
    beat: Option<u16>,
}

impl Pen {
    fn style(&self, way: &Way) -> Style {
        if way.is_slowest {
            self.theme.lit()
        } else {
            self.theme.calm()
        }
    }

    /// Stages in frames, medians large.
    fn high_row(&self, buffer: &mut Buffer, area: Rect, stages: &Stages) {
        let places = places(area, &stages.names, 4);
        for (name, (x, width)) in stages.names.iter().zip(&places) {
            let inner = usize::from(*width - 2);
            let lines = [
                format!("╭{}╮", "─".repeat(inner)),
                format!("│{name:^inner$}│"),
                format!("╰{}╯", "─".repeat(inner)),
            ];
            for (y, line) in (area.y..).zip(&lines) {
                buffer.set_string(*x, y, line, self.theme.strong());
            }
        }
        for (way, pair) in stages.ways.iter().zip(places.windows(2)) {
            let (from, to) = (pair[0].0 + pair[0].1, pair[1].0);
            self.line(buffer, (from, to), area.y + 1, way);
            let column = between(pair);
            let style = self.style(way);
            self.title(buffer, column, area.y + 3, way);
            let (number, unit) = way
                .state
                .map_or(("–".to_owned(), ""), |state| figures::span(state.p50_us));
            let wide = digits::width(&number);
            let unit_width = u16::try_from(unit.len()).unwrap_or(0) + 1;
            let left = column.0 + column.1.saturating_sub(wide + unit_width) / 2;
            digits::draw(buffer, (left, area.y + 4), &number, style);
            buffer.set_string(left + wide + 1, area.y + 6, unit, self.theme.dim());
            let p99 = format!("p99 {}", figures::maybe_span(way.state.map(|s| s.p99_us)));
            centred(buffer, column, area.y + 7, &p99, self.theme.plain());
            for (y, part) in (area.y + 8..area.bottom()).zip(&way.parts) {
                centred(buffer, column, y, part, self.theme.dim());
            }
        }
    }

    /// Stages as words above a line.
    fn low_row(&self, buffer: &mut Buffer, area: Rect, stages: &Stages) {
        let places = places(area, &stages.names, 0);
        let middles: Vec<u16> = places.iter().map(|(x, width)| x + width / 2).collect();
        for (name, (x, _)) in stages.names.iter().zip(&places) {
            buffer.set_string(*x, area.y, name, self.theme.strong());
        }
        for middle in &middles {
            buffer.set_string(*middle, area.y + 1, "●", self.theme.strong());
        }
        for (way, pair) in stages.ways.iter().zip(middles.windows(2)) {
            self.line(buffer, (pair[0] + 1, pair[1]), area.y + 1, way);
            let column = (pair[0], pair[1] - pair[0] + 1);
            let style = self.style(way);
            self.title(buffer, column, area.y + 2, way);
            let p50 = figures::maybe_span(way.state.map(|state| state.p50_us));
            let p99 = figures::maybe_span(way.state.map(|state| state.p99_us));
            centred(buffer, column, area.y + 3, &format!("p50 {p50}"), style);
            centred(
                buffer,
                column,
                area.y + 4,
                &format!("p99 {p99}"),
                self.theme.plain(),
            );
        }
    }

    /// Stages one below the other.
    fn column(&self, buffer: &mut Buffer, area: Rect, stages: &Stages) {
        // The longest name of a hop, and two figures.
        let figures_at = area.x + 18;
        let mut y = area.y;
        for (place, name) in stages.names.iter().enumerate() {
            if y >= area.bottom() {
                return;
            }
            buffer.set_string(area.x, y, "●", self.theme.strong());
            buffer.set_string(area.x + 2, y, name, self.theme.strong());
            if place == 0 {
                let heads = format!("{:>9}{:>10}", "p50", "p99");
                buffer.set_string(figures_at, y, heads, self.theme.dim());
            }
            let Some(way) = stages.ways.get(place).filter(|_| y + 1 < area.bottom()) else {
                return;
            };
            let style = self.style(way);
            let is_moving = self
                .beat
                .is_some_and(|beat| usize::from(beat / 3) % stages.ways.len() == place);
            let line = match (is_moving, way.is_slowest) {
                (true, _) => "▼",
                (false, true) => "┃",
                (false, false) => "│",
            };
            buffer.set_string(area.x, y + 1, line, style);
            let name_style = if way.is_slowest {
                self.theme.badge(style)
            } else {
                style
            };
            buffer.set_string(area.x + 2, y + 1, way.hop.as_str(), name_style);
            let p50 = figures::maybe_span(way.state.map(|state| state.p50_us));
            let p99 = figures::maybe_span(way.state.map(|state| state.p99_us));
            buffer.set_string(figures_at, y + 1, format!("{p50:>9}"), style);
            buffer.set_string(
                figures_at + 9,
                y + 1,
                format!("{p99:>10}"),
                self.theme.plain(),
            );
            self.bar(buffer, (figures_at + 21, y + 1), area, way, stages);
            y += 2;
        }
    }

    /// How a hop compares with the slowest, where there is room.
    fn bar(&self, buffer: &mut Buffer, (x, y): (u16, u16), area: Rect, way: &Way, stages: &Stages) {
        let longest = stages.ways.iter().filter_map(|way| way.state);
        let longest = longest.map(|state| state.p50_us).max().unwrap_or(0);
        let (Some(state), true) = (way.state, longest > 0) else {
            return;
        };
        let room = i64::from(area.right().saturating_sub(x));
        let cells = (state.p50_us.max(0) * room + longest / 2) / longest;
        let bar = "█".repeat(usize::try_from(cells).unwrap_or(0));
        buffer.set_string(x, y, bar, self.style(way));
    }

    /// The line between two stages, from the first column to before the second.
    fn line(&self, buffer: &mut Buffer, (from, to): (u16, u16), y: u16, way: &Way) {
        let style = if way.is_slowest {
            self.theme.lit()
        } else {
            self.theme.dim()
        };
        let stroke = if way.is_slowest { "━" } else { "─" };
        for x in from..to {
            buffer.set_string(x, y, stroke, style);
        }
        let length = to.saturating_sub(from);
        if length == 0 {
            return;
        }
        buffer.set_string(to - 1, y, "▶", style);
        if let Some(beat) = self.beat.filter(|_| length > 2) {
            // A few at even distances, all moving.
            for x in (beat % 6..length - 1).step_by(6) {
                buffer.set_string(from + x, y, "•", self.theme.strong());
            }
        }
    }

    /// A hop's name, the slowest on a ground of its colour.
    fn title(&self, buffer: &mut Buffer, column: (u16, u16), y: u16, way: &Way) {
        let (name, style) = (way.hop.as_str(), self.style(way));
        if way.is_slowest {
            let name = format!(" {name} ");
            centred(buffer, column, y, &name, self.theme.badge(style));
        } else {
            centred(buffer, column, y, name, style);
        }
    }
}

/// Where each stage begins and how wide it is: the first at the left edge, the last at the right one.
fn places(area: Rect, names: &[String], frame: u16) -> Vec<(u16, u16)> {
    let widths: Vec<u16> = names
        .iter()
        .map(|name| u16::try_from(name.chars().count()).unwrap_or(0) + frame)
        .collect();
    let ways = u16::try_from(names.len().saturating_sub(1))
        .unwrap_or(1)
        .max(1);
    let free = area.width.saturating_sub(widths.iter().sum());
    let mut x = area.x;
    let mut places = Vec::new();
    for (number, width) in (0..).zip(widths) {
        places.push((x, width));
        // What does not divide goes to the first.
        x += width + free / ways + u16::from(number < free % ways);
    }
    places
}

/// From the middle of a stage to the middle of the next.
fn between(pair: &[(u16, u16)]) -> (u16, u16) {
    let from = pair[0].0 + pair[0].1 / 2 + 1;
    let to = pair[1].0 + pair[1].1 / 2;
    (from, to.saturating_sub(from))
}

/// Writes a text into the middle of a column; one that is too long is left out.
fn centred(buffer: &mut Buffer, (x, width): (u16, u16), y: u16, text: &str, style: Style) {
    let length = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    if length <= width {
        buffer.set_string(x + (width - length) / 2, y, text, style);
    }
}
