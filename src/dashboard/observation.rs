//! An observation: its hops, the total over the last seconds, lags, taps, counts.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::format;
use super::panels;
use super::path::draw_spark;
use super::theme::Theme;
use crate::live::{LagFigures, ObservationFigures, Snapshot};

/// Hops that add up to the total.
const PIPELINE: [&str; 3] = ["debezium", "produce", "consume"];

/// Draws an observation.
pub(super) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    snapshot: &Snapshot,
    figures: &ObservationFigures,
    theme: Theme,
) {
    let hops = u16::try_from(figures.hops.len()).unwrap_or(0).max(1) + 3;
    let [top, sparks, below] = Layout::vertical([
        Constraint::Length(hops),
        Constraint::Length((area.height / 4).clamp(3, 8)),
        Constraint::Min(0),
    ])
    .areas(area);
    panels::write(
        buffer,
        top,
        hops_title(theme),
        &hop_lines(figures, theme),
        theme,
    );
    total_over_time(buffer, sparks, figures, theme);
    let columns = [
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ];
    let [counts, lags, taps] = Layout::horizontal(columns).areas(below);
    let title = |name| panels::titled(name, "", theme);
    panels::write(
        buffer,
        counts,
        title("changes"),
        &count_lines(figures, theme),
        theme,
    );
    panels::write(
        buffer,
        lags,
        title("behind"),
        &lag_lines(figures, theme),
        theme,
    );
    let mut lines = tap_lines(figures, theme);
    lines.extend(panels::objective_lines(snapshot, theme));
    panels::write(buffer, taps, title("taps"), &lines, theme);
}

fn hops_title(theme: Theme) -> Line<'static> {
    panels::titled("hops", "the last 10 to 20 s ", theme)
}

fn hop_lines(figures: &ObservationFigures, theme: Theme) -> Vec<Line<'static>> {
    if figures.hops.is_empty() {
        return vec![Line::styled(" no change came to its end", theme.dim())];
    }
    let of_pipeline = figures.hops.iter();
    let of_pipeline = of_pipeline.filter(|hop| PIPELINE.contains(&hop.hop.as_str()));
    let slowest = of_pipeline.max_by_key(|hop| hop.p50_us);
    let slowest = slowest.map(|hop| hop.hop.as_str());
    let head = format!(
        " {:<10} {:>9} {:>10} {:>10} {:>10}",
        "", "changes", "p50", "p95", "p99"
    );
    let mut lines = vec![Line::styled(head, theme.dim())];
    lines.extend(figures.hops.iter().map(|hop| {
        let style = match hop.hop.as_str() {
            name if slowest == Some(name) => theme.lit(),
            "total" => theme.strong(),
            name if PIPELINE.contains(&name) => theme.plain(),
            _ => theme.dim(),
        };
        let text = format!(
            " {:<10} {:>9} {:>10} {:>10} {:>10}",
            hop.hop,
            format::count(hop.count),
            format::span_text(hop.p50_us),
            format::span_text(hop.p95_us),
            format::span_text(hop.p99_us)
        );
        Line::styled(text, style)
    }));
    lines
}

/// Changes a second, and the median of the total, over the last seconds.
fn total_over_time(buffer: &mut Buffer, area: Rect, figures: &ObservationFigures, theme: Theme) {
    let columns = [Constraint::Fill(1), Constraint::Fill(1)];
    let [rate, median] = Layout::horizontal(columns).areas(area);
    let last = figures.seconds.last();
    let now = last.map_or(0, |second| second.written);
    let title = panels::titled(
        "throughput",
        format!("{} changes/s ", format::count(now)),
        theme,
    );
    let room = panels::write(buffer, rate, title, &[], theme);
    draw_spark(
        buffer,
        room,
        &figures.seconds,
        |second| Some(second.written),
        theme.calm(),
    );
    let now = format::maybe_span(last.and_then(|second| second.p50_us));
    let title = panels::titled("total p50", format!("{now} "), theme);
    let room = panels::write(buffer, median, title, &[], theme);
    let of = |second: &crate::live::Second| second.p50_us.and_then(|us| u64::try_from(us).ok());
    draw_spark(buffer, room, &figures.seconds, of, theme.calm());
}

fn count_lines(figures: &ObservationFigures, theme: Theme) -> Vec<Line<'static>> {
    let line = |name: &str, count: u64, is_trouble: bool| {
        let style = if is_trouble && count > 0 {
            theme.bad()
        } else {
            theme.plain()
        };
        Line::styled(format!(" {name:<11}{:>12}", format::count(count)), style)
    };
    let mut lines = vec![
        line("captured", figures.captured, false),
        line("in Kafka", figures.in_kafka, false),
        line("completed", figures.completed, false),
        line("under way", figures.in_flight, false),
        line("missing", figures.missing, true),
        line("duplicates", figures.duplicates, true),
        line("unreadable", figures.unreadable, true),
    ];
    if figures.sampled_share < 1.0 {
        let share = figures.sampled_share * 100.0;
        lines.push(Line::styled(
            format!(" a sample: {share:.1} %"),
            theme.lit(),
        ));
    }
    lines
}

fn lag_lines(figures: &ObservationFigures, theme: Theme) -> Vec<Line<'static>> {
    let line = |lag: &LagFigures| {
        let behind = lag.behind_s.map(|behind| format!("{behind:.1} s"));
        let records = lag.records.map(|r| format!("{} records", format::count(r)));
        let bytes = lag.bytes.map(format::bytes);
        let parts: Vec<_> = [behind, records, bytes].into_iter().flatten().collect();
        Line::from(vec![
            Span::styled(format!(" {} ", lag.name), theme.strong()),
            Span::raw(parts.join(", ")),
        ])
    };
    figures.lags.iter().map(line).collect()
}

fn tap_lines(figures: &ObservationFigures, theme: Theme) -> Vec<Line<'static>> {
    let taps = figures.taps.iter().map(|tap| {
        let (light, says) = match &tap.trouble {
            None if tap.resumed > 0 => {
                let says = format!("cut {} times", tap.resumed);
                (Span::styled(" ● ", theme.good()), says)
            }
            None => (Span::styled(" ● ", theme.good()), String::new()),
            Some(trouble) => (Span::styled(" ✗ ", theme.bad()), trouble.clone()),
        };
        let name = Span::styled(format!("{:<8} ", tap.name), theme.strong());
        Line::from(vec![light, name, Span::raw(says)])
    });
    taps.collect()
}
