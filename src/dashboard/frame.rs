//! The whole screen: header, progress, paths, panels, keys.

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::keys::{Panel, View};
use super::path::{PanelLayout, framed};
use super::theme::Theme;
use super::{format, observation, panels, path, pipeline};
use crate::live::{PathState, Phase, Snapshot};

/// The smallest screen with room for a pipeline, columns and lines.
const MIN_SIZE: (u16, u16) = (60, 16);
/// How long no event is written before a run is shown as stalled, seconds.
const STALLED_S: f64 = 2.0;

/// Draws a run.
pub fn draw(
    frame: &mut Frame<'_>,
    snapshot: &Snapshot,
    view: &View,
    zone: &TimeZone,
    theme: Theme,
) {
    let area = frame.area();
    let canvas = Canvas {
        snapshot,
        view,
        zone,
        theme,
    };
    canvas.draw(area, frame.buffer_mut());
}

struct Canvas<'a> {
    snapshot: &'a Snapshot,
    view: &'a View,
    zone: &'a TimeZone,
    theme: Theme,
}

impl Canvas<'_> {
    fn draw(&self, area: Rect, buffer: &mut Buffer) {
        if area.width < MIN_SIZE.0 || area.height < MIN_SIZE.1 {
            for (row, line) in area
                .rows()
                .zip([self.head(area.width), self.progress(area.width)])
            {
                buffer.set_line(row.x, row.y, &line, row.width);
            }
            return;
        }
        let [head, progress, body, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(area);
        buffer.set_line(head.x, head.y, &self.head(head.width), head.width);
        let line = self.progress(progress.width);
        buffer.set_line(progress.x, progress.y, &line, progress.width);
        let observed = self.snapshot.figures.observation.as_ref();
        let observed = observed.filter(|_| self.view.panel != Panel::Log);
        if let Some(figures) = observed {
            observation::draw(buffer, body, self.snapshot, figures, self.theme);
        } else if self.snapshot.figures.paths.is_empty() {
            panels::log(buffer, body, self.snapshot, self.theme);
        } else {
            self.body(body, buffer);
        }
        buffer.set_line(foot.x, foot.y, &self.foot(), foot.width);
        if self.view.help {
            self.help(body, buffer);
        }
    }

    /// The paths that are shown.
    fn paths(&self) -> Vec<&PathState> {
        let all = &self.snapshot.figures.paths;
        match self.view.path.and_then(|path| all.get(path)) {
            Some(path) => vec![path],
            None => all.iter().collect(),
        }
    }

    fn body(&self, area: Rect, buffer: &mut Buffer) {
        let paths = self.paths();
        let plan = PanelLayout::of(&paths, area.width, area.height);
        let [top, below] =
            Layout::vertical([Constraint::Length(plan.height()), Constraint::Min(0)]).areas(area);
        let columns = Layout::horizontal(vec![Constraint::Fill(1); paths.len()]).split(top);
        for (path, column) in paths.iter().zip(columns.iter()) {
            path::draw(buffer, *column, plan, self.snapshot, path, self.theme);
        }
        let has_room =
            area.width / u16::try_from(paths.len()).unwrap_or(1).max(1) >= pipeline::MIN_ROW_WIDTH;
        match (self.view.panel, &paths[..]) {
            (Panel::Log, _) => panels::log(buffer, below, self.snapshot, self.theme),
            (Panel::Events, _) => self.events(below, buffer, &paths),
            (Panel::Overview, [path]) if has_room => self.overview_of_one(below, buffer, path),
            (Panel::Overview, _) => self.overview(below, buffer, &paths),
        }
    }

    fn events(&self, area: Rect, buffer: &mut Buffer, paths: &[&PathState]) {
        let columns = Layout::horizontal(vec![Constraint::Fill(1); paths.len()]).split(area);
        for (path, column) in paths.iter().zip(columns.iter()) {
            panels::events(buffer, *column, path, self.zone, self.theme);
        }
    }

    /// Everything about one path.
    fn overview_of_one(&self, area: Rect, buffer: &mut Buffer, path: &PathState) {
        let (snapshot, theme) = (self.snapshot, self.theme);
        let first = (area.height / 2).clamp(8, 16).min(area.height);
        let [middle, bottom] =
            Layout::vertical([Constraint::Length(first), Constraint::Min(0)]).areas(area);
        let is_wide = area.width >= 110;
        if is_wide {
            let [latency, throughput, objectives] = Layout::horizontal([
                Constraint::Fill(5),
                Constraint::Fill(3),
                Constraint::Length(39),
            ])
            .areas(middle);
            path::latency(buffer, latency, path, &[], theme);
            panels::throughput(buffer, throughput, snapshot, path, theme);
            panels::objectives(buffer, objectives, snapshot, theme);
        } else {
            let [latency, objectives] =
                Layout::horizontal([Constraint::Fill(1), Constraint::Length(39)]).areas(middle);
            let mut more = vec![path::throughput_line(path, theme)];
            let room = latency.width.saturating_sub(2);
            more.extend(panels::errors(snapshot, room, theme));
            path::latency(buffer, latency, path, &more, theme);
            panels::objectives(buffer, objectives, snapshot, theme);
        }
        if bottom.height < 3 {
            return;
        }
        let servers = if is_wide { 50 } else { 30 };
        let [events, servers] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(servers)]).areas(bottom);
        panels::events(buffer, events, path, self.zone, theme);
        panels::servers(buffer, servers, snapshot, &[path], theme);
    }

    /// The panels that several paths share.
    fn overview(&self, area: Rect, buffer: &mut Buffer, paths: &[&PathState]) {
        let (snapshot, theme) = (self.snapshot, self.theme);
        if area.height < 8 {
            let mut lines = path::flow(panels::lights(snapshot, theme), area.width - 1);
            lines.extend(path::flow(
                panels::servers_lights(snapshot, theme),
                area.width - 1,
            ));
            for (row, line) in area.rows().zip(&lines) {
                buffer.set_line(row.x + 1, row.y, line, row.width - 1);
            }
            return;
        }
        let [top, events] = if area.height >= 14 {
            Layout::vertical([Constraint::Length(8), Constraint::Min(0)]).areas(area)
        } else {
            [area, Rect { height: 0, ..area }]
        };
        let [objectives, servers] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(top);
        panels::objectives(buffer, objectives, snapshot, theme);
        panels::servers(buffer, servers, snapshot, paths, theme);
        if events.height > 2 {
            self.events(events, buffer, paths);
        }
    }

    /// The header: phase, run, capture paths, uptime.
    fn head(&self, width: u16) -> Line<'static> {
        let (snapshot, theme) = (self.snapshot, self.theme);
        let figures = &snapshot.figures;
        let is_quiet = figures.load.quiet_s >= STALLED_S && !figures.phase.is_over();
        let (word, style) = match figures.phase {
            Phase::Passed => ("PASSED".to_owned(), theme.good()),
            Phase::Failed => ("FAILED".to_owned(), theme.bad()),
            _ if figures.load.is_paused => ("PAUSED".to_owned(), theme.lit()),
            Phase::WarmUp | Phase::Load | Phase::Drain if is_quiet => (
                format!("STALLED {:.0} s", figures.load.quiet_s),
                theme.bad(),
            ),
            phase => (phase.as_str().to_uppercase(), theme.calm()),
        };
        let paths: Vec<_> = figures
            .paths
            .iter()
            .map(|path| path.path.as_str())
            .collect();
        let badge = Span::styled(format!(" {word} "), theme.badge(style));
        let what = format!(" {}  ", snapshot.run);
        let how = match (&snapshot.part, paths.is_empty()) {
            (Some(part), _) => part.clone(),
            (None, true) if figures.observation.is_some() => String::new(),
            (None, true) => format!("{} stack", snapshot.stack),
            (None, false) => format!("{}, {} stack", paths.join(" + "), snapshot.stack),
        };
        let up = format!("up {} ", format::time(snapshot.uptime_s));
        let used = badge.width() + 1 + what.len() + how.chars().count() + up.len();
        let gap = usize::from(width).saturating_sub(used).max(1);
        Line::from(vec![
            Span::raw(" "),
            badge,
            Span::styled(what, theme.strong()),
            Span::styled(how, theme.dim()),
            Span::raw(" ".repeat(gap)),
            Span::styled(up, theme.strong()),
        ])
    }

    /// The progress line: events written of those to come, and the time left.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // counts of events far below 2^53, cells of a line
    fn progress(&self, width: u16) -> Line<'static> {
        let (load, theme) = (&self.snapshot.figures.load, self.theme);
        let figures = &self.snapshot.figures;
        let is_drawn = !figures.paths.is_empty() || figures.observation.is_some();
        if is_drawn && !self.snapshot.step.is_empty() {
            // All events are written, or the run is being stopped.
            return Line::from(vec![
                Span::styled(" ▸ ", theme.lit()),
                Span::styled(self.snapshot.step.clone(), theme.strong()),
            ]);
        }
        let rate = match load.rate_per_s {
            Some(rate) => format::rate(rate),
            None => "max".to_owned(),
        };
        let Some(target) = load.target.filter(|target| *target > 0) else {
            if !is_drawn {
                return Line::raw("");
            }
            let text = format!(
                " {} written, {} inserted at {rate}",
                format::count(load.written),
                format::count(load.inserted)
            );
            return Line::raw(text);
        };
        let done = load.written.min(target);
        let part = done as f64 / target as f64;
        let to_go = target - done;
        let left = match load.rate_per_s {
            _ if load.is_paused || to_go == 0 => String::new(),
            scheduled => match self.expected_rate(scheduled) {
                Some(rate) => format!("  {} left", format::time((to_go as f64 / rate).ceil())),
                None => String::new(),
            },
        };
        let text = format!(
            " {} of {}  {:.0} %  {} to go{left}  at {rate} ",
            format::count(done),
            format::count(target),
            (part * 100.0).floor(),
            format::count(to_go)
        );
        let room = usize::from(width).saturating_sub(text.chars().count() + 1);
        let cells = (part * room as f64) as usize;
        Line::from(vec![
            Span::raw(" "),
            Span::styled("━".repeat(cells), theme.lit()),
            Span::styled("─".repeat(room - cells), theme.dim()),
            Span::raw(text),
        ])
    }

    /// Events a second expected for the rest: the scheduled rate, or the average of the slowest path, where that is less.
    fn expected_rate(&self, scheduled: Option<f64>) -> Option<f64> {
        let paths = self.snapshot.figures.paths.iter();
        let rates = paths.map(|path| path.throughput.average_per_s);
        let reached = rates.filter(|rate| *rate > 0.0);
        reached.chain(scheduled).min_by(f64::total_cmp)
    }

    fn foot(&self) -> Line<'static> {
        let mut keys = Vec::new();
        if self.view.steers {
            let pause = if self.snapshot.figures.load.is_paused {
                "go on"
            } else {
                "pause"
            };
            if self.snapshot.figures.phase == Phase::WarmUp {
                keys.push(("b", "begin now"));
            }
            keys.extend([("space", pause), ("+ −", "rate")]);
        }
        keys.push(("tab", "panel"));
        if self.snapshot.figures.paths.len() > 1 {
            keys.push(("← →", "path"));
        }
        keys.extend([("?", "help"), ("q", "quit")]);
        let mut spans = vec![Span::raw(" ")];
        for (key, does) in keys {
            spans.push(Span::styled(key, self.theme.strong()));
            spans.push(Span::styled(format!(" {does}   "), self.theme.dim()));
        }
        Line::from(spans)
    }

    fn help(&self, area: Rect, buffer: &mut Buffer) {
        let mut lines = Vec::new();
        if self.view.steers {
            lines.extend([
                "b       end the warm-up: the measured events begin",
                "space   hold the load up, and let it go on",
                "+ −     a higher or lower rate",
                "        (what was due before keeps its time; the report says",
                "        what was changed and when)",
            ]);
        }
        if self.snapshot.figures.observation.is_some() {
            lines.extend([
                "tab     overview, what happens",
                "q       end the observation; in \"cdc-bench monitor\" leave it",
                "",
                "Hops are of the changes that came to their end in the last",
                "10 to 20 s. Counts are of all of it, objectives of the report.",
            ]);
            self.show_help(area, buffer, lines);
            return;
        }
        lines.extend([
            "tab     overview, last events, what happens",
            "← →     one capture path alone, or all",
            if self.view.steers {
                "q       end the run: the servers are cleaned up"
            } else {
                "q       leave; the run goes on"
            },
            "",
            "A hop's figures are of the last 5 to 10 s, its slowest is lit.",
            "The total, objectives and rates are of all events so far.",
        ]);
        self.show_help(area, buffer, lines);
    }

    fn show_help(&self, area: Rect, buffer: &mut Buffer, lines: Vec<&str>) {
        let height = u16::try_from(lines.len()).unwrap_or(0) + 2;
        let [row] = Layout::vertical([Constraint::Length(height)])
            .flex(Flex::Center)
            .areas(area);
        let [place] = Layout::horizontal([Constraint::Length(66)])
            .flex(Flex::Center)
            .areas(row);
        Clear.render(place, buffer);
        let block = framed(Span::styled(" keys ", self.theme.strong()), self.theme);
        let inner = block.inner(place);
        block.render(place, buffer);
        for (row, line) in inner.rows().zip(lines) {
            buffer.set_stringn(
                row.x + 1,
                row.y,
                line,
                usize::from(row.width - 1),
                self.theme.plain(),
            );
        }
    }
}
