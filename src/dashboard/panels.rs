//! The panels below the pipelines: objectives, throughput, events, servers, messages.

use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::format;
use super::path::{draw_spark, flow, framed, lags, throughput_line};
use super::theme::Theme;
use crate::live::{PathState, RecentEvent, Second, ServerState, Snapshot, TypeCount};
use cdc_bench_model::analysis::Objective;
use cdc_bench_model::timeline::Stamp;

/// Writes lines into a block, as many as fit; returns the rest of its area.
pub(super) fn write(
    buffer: &mut Buffer,
    area: Rect,
    title: Line<'_>,
    lines: &[Line<'_>],
    theme: Theme,
) -> Rect {
    let block = framed(title, theme);
    let inner = block.inner(area);
    block.render(area, buffer);
    for (y, line) in (inner.y..inner.bottom()).zip(lines) {
        buffer.set_line(inner.x, y, line, inner.width);
    }
    let used = u16::try_from(lines.len())
        .unwrap_or(inner.height)
        .min(inner.height);
    Rect {
        y: inner.y + used,
        height: inner.height - used,
        ..inner
    }
}

pub(super) fn titled<'a>(
    name: &'a str,
    more: impl Into<std::borrow::Cow<'a, str>>,
    theme: Theme,
) -> Line<'a> {
    Line::from(vec![
        Span::styled(format!(" {name} "), theme.strong()),
        Span::styled(more, theme.dim()),
    ])
}

/// The light of an objective, told by its shape as well as its colour.
fn light(objective: &Objective, theme: Theme) -> Span<'static> {
    match (objective.measured, objective.met) {
        (None, _) => Span::styled("○", theme.dim()),
        (Some(_), true) => Span::styled("●", theme.good()),
        (Some(_), false) => Span::styled("✗", theme.bad()),
    }
}

/// The displayed name of an objective.
fn name_of(objective: &Objective) -> &str {
    match objective.name.as_str() {
        "throughput_per_s" => "events",
        "success_percent" => "success",
        "match_percent" => "stores match",
        name => name.trim_end_matches("_ms"),
    }
}

/// Each objective with its light, one a line.
pub(super) fn objectives(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let lines = objective_lines(snapshot, theme);
    write(buffer, area, titled("objectives", "", theme), &lines, theme);
}

/// The same without a block.
pub(super) fn objective_lines(snapshot: &Snapshot, theme: Theme) -> Vec<Line<'_>> {
    let line = |objective: &Objective| {
        let measured = objective.measured.map_or_else(
            || "–".to_owned(),
            |value| {
                if value >= 1_000.0 {
                    format!("{value:.0}")
                } else {
                    format!("{value:.1}")
                }
            },
        );
        Line::from(vec![
            light(objective, theme),
            Span::raw(format!(" {:<12}", name_of(objective))),
            Span::styled(format!("{measured:>7}"), theme.strong()),
            Span::styled(format!("  {}", objective.target), theme.dim()),
        ])
    };
    snapshot.figures.objectives.iter().map(line).collect()
}

/// The lights alone.
pub(super) fn lights(snapshot: &Snapshot, theme: Theme) -> Vec<Line<'static>> {
    let objectives = snapshot.figures.objectives.iter();
    objectives
        .map(|objective| {
            let name = Span::raw(format!(" {}", name_of(objective)));
            Line::from(vec![light(objective, theme), name])
        })
        .collect()
}

/// Throughput and errors.
pub(super) fn throughput(
    buffer: &mut Buffer,
    area: Rect,
    snapshot: &Snapshot,
    path: &PathState,
    theme: Theme,
) {
    let mut lines = vec![throughput_line(path, theme)];
    lines.extend(errors(snapshot, area.width.saturating_sub(2), theme));
    let rest = write(buffer, area, titled("throughput", "", theme), &lines, theme);
    let written = |second: &Second| Some(second.written);
    draw_spark(buffer, rest, &path.seconds, written, theme.calm());
}

/// Errors, and events in flight, in as many lines as needed.
#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
pub(super) fn errors(snapshot: &Snapshot, width: u16, theme: Theme) -> Vec<Line<'static>> {
    let load = &snapshot.figures.load;
    let all = (load.written + load.errors).max(1);
    let percent = load.errors as f64 / all as f64 * 100.0;
    let in_flight = load.inserted.saturating_sub(load.written + load.errors);
    let style = if load.errors > 0 {
        theme.bad()
    } else {
        theme.plain()
    };
    let part = |name: &'static str, value: String, style| {
        Line::from(vec![
            Span::styled(name, theme.dim()),
            Span::styled(value, style),
        ])
    };
    let errors = format!("{} ({percent:.2} %)", format::count(load.errors));
    let parts = [
        part("errors ", errors, style),
        part("under way ", format::count(in_flight), theme.plain()),
    ];
    flow(parts, width)
}

/// How many of each type.
fn types(path: &PathState) -> String {
    let type_of = |of: &TypeCount| {
        let name = short(of.event_type.as_str());
        format!("{name} {}", format::count(of.count))
    };
    let types: Vec<_> = path.by_type.iter().map(type_of).collect();
    types.join(" · ")
}

/// `User` for `UserCreated`, where room is short.
fn short(event_type: &str) -> &str {
    event_type
        .trim_end_matches("Created")
        .trim_end_matches("Joined")
}

/// The last events, newest first; the numbers of each type are in the border.
pub(super) fn events(
    buffer: &mut Buffer,
    area: Rect,
    path: &PathState,
    zone: &TimeZone,
    theme: Theme,
) {
    let is_narrow = area.width < 68;
    let line = |event: &RecentEvent| {
        let slow = path
            .total
            .is_some_and(|total| event.total_us > total.p99_us);
        let style = if slow { theme.lit() } else { theme.strong() };
        let name = event.event_type.as_str();
        let name = if is_narrow {
            format!(" {:<12}", short(name))
        } else {
            format!(" {name:<18}")
        };
        let mut spans = vec![
            Span::styled(time_of_day(event.created, zone), theme.dim()),
            Span::raw(name),
            Span::styled(format!("{:>8}", format::span_text(event.total_us)), style),
            Span::styled(format!(" {:<14} ", event.slowest.as_str()), theme.lit()),
        ];
        if !is_narrow {
            let took = format::span_text(event.slowest_us);
            spans.push(Span::styled(took, theme.dim()));
        }
        Line::from(spans)
    };
    let lines: Vec<_> = path.last.iter().map(line).collect();
    let more = format!("{}, each with its slowest hop ", path.path);
    write(
        buffer,
        area,
        titled("last events", more, theme),
        &lines,
        theme,
    );
    let types = types(path);
    let width = u16::try_from(types.chars().count()).unwrap_or(u16::MAX);
    if !types.is_empty() && width.saturating_add(6) <= area.width {
        let x = area.right() - width - 3;
        buffer.set_string(x, area.bottom() - 1, format!(" {types} "), theme.plain());
    }
}

/// Time of day to the millisecond, in the time zone of the terminal.
fn time_of_day(at: Stamp, zone: &TimeZone) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
    at.to_zoned_datetime(zone.clone())
        .strftime("%H:%M:%S%.3f")
        .to_string()
}

/// The servers, and the lags of each path.
pub(super) fn servers(
    buffer: &mut Buffer,
    area: Rect,
    snapshot: &Snapshot,
    paths: &[&PathState],
    theme: Theme,
) {
    let width = area.width.saturating_sub(2);
    let servers = &snapshot.figures.servers;
    let mut lines = Vec::new();
    if area.height < 2 + 4 + 2 {
        lines.extend(flow(servers_lights(snapshot, theme), width));
        let troubled = servers.iter().filter(|server| server.trouble.is_some());
        lines.extend(troubled.map(|server| server_line(server, theme)));
    } else {
        lines.extend(servers.iter().map(|server| server_line(server, theme)));
    }
    for path in paths {
        let is_named = width >= 40;
        let room = if is_named { width - 9 } else { width };
        let mut lines_of_path = lags(path, room, theme);
        if is_named && let Some(first) = lines_of_path.first_mut() {
            let name = format!("{:<9}", path.path.as_str());
            first.spans.insert(0, Span::styled(name, theme.dim()));
        }
        lines.extend(lines_of_path);
    }
    write(
        buffer,
        area,
        titled("servers", "and what waits ", theme),
        &lines,
        theme,
    );
}

fn server_line(server: &ServerState, theme: Theme) -> Line<'static> {
    let name = server
        .product
        .clone()
        .unwrap_or_else(|| server.name.clone());
    let restarts = match server.restarts {
        0 => String::new(),
        times => format!("  restarted {times}×"),
    };
    match &server.trouble {
        None => Line::from(vec![
            Span::styled("●", theme.good()),
            Span::raw(format!(" {name:<11}")),
            Span::styled("answers", theme.dim()),
            Span::styled(restarts, theme.lit()),
        ]),
        Some(trouble) => Line::from(vec![
            Span::styled("✗", theme.bad()),
            Span::styled(format!(" {name:<11}"), theme.bad()),
            Span::raw(trouble.lines().next().unwrap_or_default().to_owned()),
            Span::styled(restarts, theme.lit()),
        ]),
    }
}

/// Each server with its light.
pub(super) fn servers_lights(snapshot: &Snapshot, theme: Theme) -> Vec<Line<'static>> {
    let of = |server: &ServerState| {
        let (mark, style) = match server.trouble {
            None => ("●", theme.good()),
            Some(_) => ("✗", theme.bad()),
        };
        let restarted = if server.restarts > 0 { "↻" } else { "" };
        let name = Span::raw(format!(" {:<8}", format!("{}{restarted}", server.name)));
        Line::from(vec![Span::styled(mark, style), name])
    };
    snapshot.figures.servers.iter().map(of).collect()
}

/// The messages, the newest at the bottom.
pub(super) fn log(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let room = usize::from(area.height.saturating_sub(2));
    let mut said: Vec<Line<'_>> = snapshot
        .said
        .iter()
        .map(|line| Line::raw(line.as_str()))
        .collect();
    if !snapshot.step.is_empty() {
        let mark = Span::styled("▸ ", theme.lit());
        said.push(Line::from(vec![
            mark,
            Span::styled(snapshot.step.as_str(), theme.strong()),
        ]));
    }
    let first = said.len().saturating_sub(room);
    write(
        buffer,
        area,
        titled("what happens", "", theme),
        &said[first..],
        theme,
    );
}
