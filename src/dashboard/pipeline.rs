//! The pipeline as a row of stages with an arrow for each hop; the slowest hop is highlighted.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::theme::Theme;
use super::{digits, format};
use crate::live::{HopState, PathState};
use cdc_bench_model::timeline::{CapturePath, Hop};

/// In a narrower space the stages are one below the other.
pub(super) const MIN_ROW_WIDTH: u16 = 72;
/// Height of the row with stages as words on a line.
const LOW_HEIGHT: u16 = 5;
/// Height with framed stages and large medians, and of the parts of a hop below.
const HIGH_HEIGHT: u16 = 8;
const PARTS: u16 = 2;

/// The stages, and the hops between them.
struct Stages {
    names: Vec<String>,
    arrows: Vec<HopArrow>,
}

struct HopArrow {
    hop: Hop,
    state: Option<HopState>,
    is_slowest: bool,
    /// The parts of the hop, as text: one a line.
    parts: Vec<String>,
}

impl Stages {
    fn of(path: &PathState, store: &str, is_measured: bool) -> Self {
        let has_kafka = path.path != CapturePath::Embedded;
        let mut names = vec!["PostgreSQL", "WAL", "Kafka", "consumer", store];
        let mut hops = Hop::PIPELINE.to_vec();
        if !has_kafka {
            names.retain(|name| *name != "Kafka");
            hops.retain(|hop| *hop != Hop::KafkaDelivery);
        }
        let slowest = path.slowest().filter(|_| is_measured);
        let arrow = |hop: Hop| HopArrow {
            hop,
            state: path.hop(hop).copied(),
            is_slowest: slowest == Some(hop),
            parts: parts(path, hop),
        };
        Self {
            names: names.into_iter().map(ToOwned::to_owned).collect(),
            arrows: hops.into_iter().map(arrow).collect(),
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
            format::span_text(state.p50_us)
        ))
    };
    hop.parts().iter().filter_map(part).collect()
}

/// Lines of the pipeline in a space of this size.
pub(super) fn height(path: CapturePath, width: u16, room: u16) -> u16 {
    if width < MIN_ROW_WIDTH {
        return if path == CapturePath::Embedded { 7 } else { 9 };
    }
    if room >= 3 * HIGH_HEIGHT {
        HIGH_HEIGHT + PARTS
    } else {
        LOW_HEIGHT
    }
}

/// Draws the pipeline: dimmed, and without the slowest hop, where its events are not measured. `tick` is the clock of the
/// animation.
pub(super) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    (path, is_measured): (&PathState, bool),
    store: &str,
    tick: u16,
    theme: Theme,
) {
    let stages = Stages::of(path, store, is_measured);
    let flows = path.throughput.now_per_s > 0.0 || !is_measured && !path.hops.is_empty();
    let painter = PipelinePainter {
        theme,
        is_measured,
        tick: flows.then_some(tick),
    };
    if area.width < MIN_ROW_WIDTH {
        painter.column(buffer, area, &stages);
    } else if area.height >= HIGH_HEIGHT {
        painter.high_row(buffer, area, &stages);
    } else {
        painter.low_row(buffer, area, &stages);
    }
}

struct PipelinePainter {
    theme: Theme,
    is_measured: bool,
    /// The clock of the animation; `None` while no events flow.
    tick: Option<u16>,
}

impl PipelinePainter {
    /// Of figures beside the medians.
    fn plain(&self) -> Style {
        if self.is_measured {
            self.theme.plain()
        } else {
            self.theme.dim()
        }
    }

    fn style(&self, arrow: &HopArrow) -> Style {
        if !self.is_measured {
            self.theme.dim()
        } else if arrow.is_slowest {
            self.theme.lit()
        } else {
            self.theme.calm()
        }
    }

    /// Stages in frames, medians large.
    fn high_row(&self, buffer: &mut Buffer, area: Rect, stages: &Stages) {
        let stage_columns = stage_columns(area, &stages.names, 4);
        for (name, (x, width)) in stages.names.iter().zip(&stage_columns) {
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
        for (arrow, pair) in stages.arrows.iter().zip(stage_columns.windows(2)) {
            let (from, to) = (pair[0].0 + pair[0].1, pair[1].0);
            self.line(buffer, (from, to), area.y + 1, arrow);
            let column = between(pair);
            let style = self.style(arrow);
            self.title(buffer, column, area.y + 3, arrow);
            let (number, unit) = arrow
                .state
                .map_or(("–".to_owned(), ""), |state| format::span(state.p50_us));
            let wide = digits::width(&number);
            let unit_width = u16::try_from(unit.len()).unwrap_or(0) + 1;
            let left = column.0 + column.1.saturating_sub(wide + unit_width) / 2;
            digits::draw(buffer, (left, area.y + 4), &number, style);
            buffer.set_string(left + wide + 1, area.y + 6, unit, self.theme.dim());
            let p99 = format!("p99 {}", format::maybe_span(arrow.state.map(|s| s.p99_us)));
            centred(buffer, column, area.y + 7, &p99, self.plain());
            for (y, part) in (area.y + 8..area.bottom()).zip(&arrow.parts) {
                centred(buffer, column, y, part, self.theme.dim());
            }
        }
    }

    /// Stages as words above a line.
    fn low_row(&self, buffer: &mut Buffer, area: Rect, stages: &Stages) {
        let stage_columns = stage_columns(area, &stages.names, 0);
        let middles: Vec<u16> = stage_columns
            .iter()
            .map(|(x, width)| x + width / 2)
            .collect();
        for (name, (x, _)) in stages.names.iter().zip(&stage_columns) {
            buffer.set_string(*x, area.y, name, self.theme.strong());
        }
        for middle in &middles {
            buffer.set_string(*middle, area.y + 1, "●", self.theme.strong());
        }
        for (arrow, pair) in stages.arrows.iter().zip(middles.windows(2)) {
            self.line(buffer, (pair[0] + 1, pair[1]), area.y + 1, arrow);
            let column = (pair[0], pair[1] - pair[0] + 1);
            let style = self.style(arrow);
            self.title(buffer, column, area.y + 2, arrow);
            let p50 = format::maybe_span(arrow.state.map(|state| state.p50_us));
            let p99 = format::maybe_span(arrow.state.map(|state| state.p99_us));
            centred(buffer, column, area.y + 3, &format!("p50 {p50}"), style);
            centred(
                buffer,
                column,
                area.y + 4,
                &format!("p99 {p99}"),
                self.plain(),
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
            let Some(arrow) = stages.arrows.get(place).filter(|_| y + 1 < area.bottom()) else {
                return;
            };
            let style = self.style(arrow);
            let is_moving = self
                .tick
                .is_some_and(|tick| usize::from(tick / 3) % stages.arrows.len() == place);
            let line = match (is_moving, arrow.is_slowest) {
                (true, _) => "▼",
                (false, true) => "┃",
                (false, false) => "│",
            };
            buffer.set_string(area.x, y + 1, line, style);
            let name_style = if arrow.is_slowest {
                self.theme.badge(style)
            } else {
                style
            };
            buffer.set_string(area.x + 2, y + 1, arrow.hop.as_str(), name_style);
            let p50 = format::maybe_span(arrow.state.map(|state| state.p50_us));
            let p99 = format::maybe_span(arrow.state.map(|state| state.p99_us));
            buffer.set_string(figures_at, y + 1, format!("{p50:>9}"), style);
            buffer.set_string(figures_at + 9, y + 1, format!("{p99:>10}"), self.plain());
            self.bar(buffer, (figures_at + 21, y + 1), area, arrow, stages);
            y += 2;
        }
    }

    /// A bar for the hop's median relative to the slowest one, where there is room.
    fn bar(
        &self,
        buffer: &mut Buffer,
        (x, y): (u16, u16),
        area: Rect,
        arrow: &HopArrow,
        stages: &Stages,
    ) {
        let longest = stages.arrows.iter().filter_map(|arrow| arrow.state);
        let longest = longest.map(|state| state.p50_us).max().unwrap_or(0);
        let (Some(state), true) = (arrow.state, longest > 0) else {
            return;
        };
        let room = i64::from(area.right().saturating_sub(x));
        let cells = (state.p50_us.max(0) * room + longest / 2) / longest;
        let bar = "█".repeat(usize::try_from(cells).unwrap_or(0));
        buffer.set_string(x, y, bar, self.style(arrow));
    }

    /// The line between two stages, from the first column to before the second.
    fn line(&self, buffer: &mut Buffer, (from, to): (u16, u16), y: u16, arrow: &HopArrow) {
        let style = if arrow.is_slowest {
            self.theme.lit()
        } else {
            self.theme.dim()
        };
        let stroke = if arrow.is_slowest { "━" } else { "─" };
        for x in from..to {
            buffer.set_string(x, y, stroke, style);
        }
        let length = to.saturating_sub(from);
        if length == 0 {
            return;
        }
        buffer.set_string(to - 1, y, "▶", style);
        if let Some(tick) = self.tick.filter(|_| length > 2) {
            // Dots at even distances, all moving.
            for x in (tick % 6..length - 1).step_by(6) {
                buffer.set_string(from + x, y, "•", self.theme.strong());
            }
        }
    }

    /// The name of a hop, reversed for the slowest.
    fn title(&self, buffer: &mut Buffer, column: (u16, u16), y: u16, arrow: &HopArrow) {
        let (name, style) = (arrow.hop.as_str(), self.style(arrow));
        if arrow.is_slowest {
            let name = format!(" {name} ");
            centred(buffer, column, y, &name, self.theme.badge(style));
        } else {
            centred(buffer, column, y, name, style);
        }
    }
}

/// Column and width of each stage: the first at the left edge, the last at the right one.
fn stage_columns(area: Rect, names: &[String], frame: u16) -> Vec<(u16, u16)> {
    let widths: Vec<u16> = names
        .iter()
        .map(|name| u16::try_from(name.chars().count()).unwrap_or(0) + frame)
        .collect();
    let arrows = u16::try_from(names.len().saturating_sub(1))
        .unwrap_or(1)
        .max(1);
    let free = area.width.saturating_sub(widths.iter().sum());
    let mut x = area.x;
    let mut stage_columns = Vec::new();
    for (number, width) in (0..).zip(widths) {
        stage_columns.push((x, width));
        // The remainder goes to the first ones.
        x += width + free / arrows + u16::from(number < free % arrows);
    }
    stage_columns
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
