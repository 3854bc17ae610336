//! One capture path: its pipeline, its latency, its throughput.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Sparkline, SparklineBar, Widget};

use super::theme::Theme;
use super::{digits, format, pipeline};
use crate::live::{PathState, Phase, Second, Snapshot, TotalState};
use cdc_bench_model::timeline::CapturePath;

/// Lines of latency, throughput and lags below a pipeline, without the sparkline.
const SUMMARY: u16 = 5;

/// A bordered block in the style of the dashboard.
pub(super) fn framed<'a>(title: impl Into<Line<'a>>, theme: Theme) -> Block<'a> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .title(title)
}

/// The layout of the panels of the paths, the same for all.
#[derive(Debug, Clone, Copy)]
pub(super) struct PanelLayout {
    /// Lines of the pipelines.
    pipeline: u16,
    /// Whether latency and throughput are in the same panel, as with several paths.
    has_summary: bool,
    sparks: u16,
}

impl PanelLayout {
    /// The layout for these paths side by side in a space of this size.
    pub(super) fn of(paths: &[&PathState], width: u16, room: u16) -> Self {
        let each = width / u16::try_from(paths.len()).unwrap_or(1).max(1);
        let pipelines = paths
            .iter()
            .map(|path| pipeline::height(path.path, each.saturating_sub(2), room));
        Self {
            pipeline: pipelines.max().unwrap_or(0),
            has_summary: paths.len() > 1 || each < pipeline::MIN_ROW_WIDTH,
            sparks: (room / 8).clamp(1, 6),
        }
    }

    /// Lines of a panel.
    pub(super) fn height(self) -> u16 {
        let summary = if self.has_summary {
            SUMMARY + self.sparks
        } else {
            0
        };
        self.pipeline + summary + 2
    }
}

/// Draws the panel of a path.
pub(super) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    plan: PanelLayout,
    snapshot: &Snapshot,
    path: &PathState,
    theme: Theme,
) {
    let is_measured = snapshot.figures.phase != Phase::WarmUp;
    let what = if is_measured {
        "each hop, last 5–10 s "
    } else {
        "each hop of warm-up events, not measured "
    };
    let title = Line::from(vec![
        Span::styled(format!(" {} ", path.path), theme.strong()),
        Span::styled(what, theme.dim()),
    ]);
    let block = framed(title, theme);
    let inner = block.inner(area);
    block.render(area, buffer);
    let lines = plan.pipeline.min(inner.height);
    let [top, below] =
        Layout::vertical([Constraint::Length(lines), Constraint::Min(0)]).areas(inner);
    let tick = tick(snapshot);
    pipeline::draw(
        buffer,
        top,
        (path, is_measured),
        store(snapshot),
        tick,
        theme,
    );
    if plan.has_summary && below.height >= SUMMARY {
        summary(buffer, below, path, theme);
    }
}

/// The store's name.
fn store(snapshot: &Snapshot) -> &str {
    let store = snapshot.figures.servers.iter().find(|s| s.name == "store");
    store
        .and_then(|store| store.product.as_deref())
        .unwrap_or("MongoDB")
}

/// Tenths of a second since the run began: the clock of the animation.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive; its size does not matter
fn tick(snapshot: &Snapshot) -> u16 {
    if snapshot.figures.load.is_paused {
        return 0;
    }
    ((snapshot.uptime_s * 10.0) as u64 % 60_000) as u16
}

/// Latency, throughput and lags in a few lines.
fn summary(buffer: &mut Buffer, area: Rect, path: &PathState, theme: Theme) {
    let mut lines = total_lines(path.total, theme);
    lines.push(throughput_line(path, theme));
    lines.extend(lags(path, area.width, theme));
    let mut y = area.y + 1;
    for line in &lines {
        buffer.set_line(area.x, y, line, area.width);
        y += 1;
    }
    let spark = Rect {
        y,
        height: area.bottom().saturating_sub(y),
        ..area
    };
    draw_spark(buffer, spark, &path.seconds, p99, theme.calm());
}

/// The quantiles of the total in two lines.
pub(super) fn total_lines(total: Option<TotalState>, theme: Theme) -> Vec<Line<'static>> {
    let pair = |name: &'static str, of: fn(&TotalState) -> i64, style| {
        let value = format::maybe_span(total.as_ref().map(of));
        [
            Span::styled(format!("{name} "), theme.dim()),
            Span::styled(format!("{value:<8} "), style),
        ]
    };
    let quantiles = [
        pair("p50", |t| t.p50_us, theme.strong()),
        pair("p95", |t| t.p95_us, theme.strong()),
        pair("p99", |t| t.p99_us, theme.strong()),
    ];
    let rest = [
        pair("avg", |t| t.mean_us, theme.plain()),
        pair("min", |t| t.min_us, theme.plain()),
        pair("max", |t| t.max_us, theme.plain()),
    ];
    vec![Line::from(quantiles.concat()), Line::from(rest.concat())]
}

/// Events a second: now, on average, at best.
pub(super) fn throughput_line(path: &PathState, theme: Theme) -> Line<'static> {
    let rates = path.throughput;
    Line::from(vec![
        Span::styled(format::rate(rates.now_per_s), theme.strong()),
        Span::styled(
            format!(
                "  avg {}  peak {}",
                format::rate(rates.average_per_s),
                format::rate(rates.peak_per_s)
            ),
            theme.dim(),
        ),
    ])
}

/// The lags of slot, Debezium and consumer group, in as many lines as needed.
pub(super) fn lags(path: &PathState, width: u16, theme: Theme) -> Vec<Line<'static>> {
    let unknown = || "–".to_owned();
    let mut parts = vec![(
        "slot",
        path.slot_lag_bytes.map_or_else(unknown, format::bytes),
    )];
    if let Some(behind) = path.debezium_behind_ms {
        parts.push(("Debezium", format!("{behind:.1} ms")));
    }
    if path.path != CapturePath::Embedded {
        let records = path.group_lag_records.map_or_else(unknown, format::count);
        parts.push(("group", records));
    }
    let parts = parts.into_iter().map(|(name, lag)| {
        let name = Span::styled(format!("{name} "), theme.dim());
        Line::from(vec![name, Span::raw(lag)])
    });
    flow(parts, width)
}

/// Combines parts to lines of at most `width`.
pub(super) fn flow(
    parts: impl IntoIterator<Item = Line<'static>>,
    width: u16,
) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for part in parts {
        let fits = |line: &&mut Line<'_>| line.width() + 2 + part.width() <= usize::from(width);
        match lines.last_mut().filter(fits) {
            Some(line) => {
                line.spans.push(Span::raw("  "));
                line.spans.extend(part.spans);
            }
            None => lines.push(part),
        }
    }
    lines
}

/// The 99th percentile of a second.
pub(super) fn p99(second: &Second) -> Option<u64> {
    second.p99_us.and_then(|us| u64::try_from(us).ok())
}

/// A sparkline over the last seconds, the newest at the right edge.
pub(super) fn draw_spark(
    buffer: &mut Buffer,
    area: Rect,
    seconds: &[Second],
    of: fn(&Second) -> Option<u64>,
    style: ratatui::style::Style,
) {
    let shown = seconds.len().min(usize::from(area.width));
    let bars: Vec<SparklineBar> = seconds[seconds.len() - shown..]
        .iter()
        .map(|second| SparklineBar::from(of(second)))
        .collect();
    let left = area.right() - u16::try_from(shown).unwrap_or(area.width);
    let area = Rect {
        x: left,
        width: area.right() - left,
        ..area
    };
    Sparkline::default()
        .data(bars)
        .style(style)
        .absent_value_symbol(" ")
        .render(area, buffer);
}

/// The latency of a single path, in large digits where there is room, with `more` below it.
pub(super) fn latency(
    buffer: &mut Buffer,
    area: Rect,
    path: &PathState,
    more: &[Line<'_>],
    theme: Theme,
) {
    let title = Line::from(vec![
        Span::styled(" total latency ", theme.strong()),
        Span::styled("the whole run ", theme.dim()),
    ]);
    let block = framed(title, theme);
    let inner = block.inner(area);
    block.render(area, buffer);
    let lines = total_lines(path.total, theme);
    let mut y = inner.y;
    if inner.height >= 10 && inner.width >= 48 {
        large(buffer, inner, path.total, theme);
        y += digits::HEIGHT + 2;
        buffer.set_line(inner.x, y, &lines[1], inner.width);
        y += 2;
    } else {
        for line in &lines {
            buffer.set_line(inner.x, y, line, inner.width);
            y += 1;
        }
    }
    for line in more {
        buffer.set_line(inner.x, y, line, inner.width);
        y += 1;
    }
    let label = match path.seconds.iter().filter_map(p99).max() {
        Some(worst) => {
            let worst = format::span_text(i64::try_from(worst).unwrap_or(i64::MAX));
            format!("p99 of each second, up to {worst}")
        }
        None => "p99 of each second".to_owned(),
    };
    if y + 2 < inner.bottom() {
        buffer.set_stringn(inner.x, y, label, usize::from(inner.width), theme.dim());
        y += 1;
    }
    let spark = Rect {
        y,
        height: inner.bottom().saturating_sub(y),
        ..inner
    };
    draw_spark(buffer, spark, &path.seconds, p99, theme.calm());
}

/// Three quantiles in large digits.
fn large(buffer: &mut Buffer, area: Rect, total: Option<TotalState>, theme: Theme) {
    let thirds: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3]).areas(area);
    let figure = |of: fn(&TotalState) -> i64| {
        total
            .as_ref()
            .map_or(("–".to_owned(), ""), |total| format::span(of(total)))
    };
    let quantiles = [
        ("p50", figure(|t| t.p50_us)),
        ("p95", figure(|t| t.p95_us)),
        ("p99", figure(|t| t.p99_us)),
    ];
    for (third, (name, (number, unit))) in thirds.into_iter().zip(quantiles) {
        let name = Line::from(vec![
            Span::styled(name, theme.strong()),
            Span::styled(format!(" {unit}"), theme.dim()),
        ]);
        buffer.set_line(third.x, third.y, &name, third.width);
        digits::draw(buffer, (third.x, third.y + 1), &number, theme.strong());
    }
}
