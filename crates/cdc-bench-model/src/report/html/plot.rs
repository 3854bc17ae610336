//! Plots as inline SVG. Colours, fonts and line styles are the page's (`page.css`), by class, so that a plot follows
//! the reader's light or dark scheme; this module computes positions only.

use std::fmt::Write as _;

use super::axis::{Axis, number};

/// A plot at two sizes: text in an SVG shrinks with it, so a small screen gets one that is drawn small.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    pub(super) wide: String,
    pub(super) narrow: String,
}

/// Title and description of a plot, for screen readers.
#[derive(Debug, Clone, Copy)]
pub(super) struct FigureText<'a> {
    /// Unique on the page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) description: &'a str,
}

/// Width and height in units of the view box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Most ticks on the horizontal axis.
    pub(super) ticks: usize,
}

impl Size {
    /// Of a small screen, where names have no room.
    pub(super) fn is_narrow(&self) -> bool {
        self.width < WIDE
    }
}

const WIDE: f64 = 960.0;
const NARROW: f64 = 360.0;

impl Figure {
    /// Draws both.
    pub(super) fn new(text: FigureText<'_>, height: f64, draw: impl Fn(Size) -> Plot) -> Self {
        let at = |suffix: &str, size: Size| draw(size).finish(text, suffix);
        Self {
            wide: at(
                "wide",
                Size {
                    width: WIDE,
                    height,
                    ticks: 12,
                },
            ),
            narrow: at(
                "narrow",
                Size {
                    width: NARROW,
                    height: height.min(280.0),
                    ticks: 5,
                },
            ),
        }
    }
}

/// Room around the area of a plot.
const LEFT: f64 = 46.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;

/// A plot being drawn.
#[derive(Debug)]
pub(super) struct Plot {
    size: Size,
    right: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
    body: String,
}

/// Writing to a string cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

impl Plot {
    /// Two axes, with `right` units of room for labels at the ends of lines.
    pub(super) fn new(size: Size, right: f64, x: Axis, y: Axis) -> Self {
        Self {
            size,
            right,
            x: x.onto(LEFT, size.width - right),
            y: y.onto(size.height - BOTTOM, TOP),
            body: String::new(),
        }
    }

    /// Draws the horizontal axis: each tick with its text, and what they are.
    pub(super) fn horizontal(&mut self, ticks: &[(f64, String)], what: &str) {
        let (top, bottom) = (TOP, self.size.height - BOTTOM);
        for (value, text) in ticks {
            let x = self.x.place(*value);
            put!(
                self.body,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                bottom + 16.0,
                escaped(text)
            );
        }
        put!(
            self.body,
            r#"<line class="axis" x1="{LEFT}" x2="{:.1}" y1="{bottom}" y2="{bottom}"/><text class="what" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            self.size.width - self.right,
            self.size.width - self.right,
            self.size.height - 5.0,
            escaped(what)
        );
    }

    /// Draws the vertical axis, with automatic ticks.
    pub(super) fn vertical(&mut self, what: &str) {
        let right = self.size.width - self.right;
        for value in self.y.ticks(6) {
            let y = self.y.place(value);
            put!(
                self.body,
                r#"<line class="grid" x1="{LEFT}" x2="{right:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 6.0,
                y + 4.0,
                number(value)
            );
        }
        put!(
            self.body,
            r#"<text class="what" x="2" y="12">{}</text>"#,
            escaped(what)
        );
    }

    /// A line through points; it is broken where there is none.
    pub(super) fn line(&mut self, class: &str, points: &[Option<(f64, f64)>]) {
        let mut path = String::new();
        let mut begun = false;
        for (n, point) in points.iter().enumerate() {
            let Some((x, y)) = point else {
                begun = false;
                continue;
            };
            let (x, y) = (self.x.place(*x), self.y.place(*y));
            put!(path, "{}{x:.1} {y:.1}", if begun { "L" } else { "M" });
            // A point alone would not show.
            if !begun && points.get(n + 1).is_none_or(Option::is_none) {
                put!(path, "l0.1 0");
            }
            begun = true;
        }
        put!(self.body, r#"<path class="line {class}" d="{path}"/>"#);
    }

    /// Dots at points.
    pub(super) fn dots(&mut self, class: &str, points: &[Option<(f64, f64)>]) {
        for (x, y) in points.iter().flatten() {
            put!(
                self.body,
                r#"<circle class="dot {class}" cx="{:.1}" cy="{:.1}" r="4"/>"#,
                self.x.place(*x),
                self.y.place(*y)
            );
        }
    }

    /// Rings around points.
    pub(super) fn rings(&mut self, class: &str, points: &[Option<(f64, f64)>]) {
        for (x, y) in points.iter().flatten() {
            put!(
                self.body,
                r#"<circle class="ring {class}" cx="{:.1}" cy="{:.1}" r="9"/>"#,
                self.x.place(*x),
                self.y.place(*y)
            );
        }
    }

    /// The area between two lines, given as x, lower and upper y; broken where there is none.
    pub(super) fn band(&mut self, class: &str, points: &[Option<(f64, f64, f64)>]) {
        let mut path = String::new();
        for run in points.split(Option::is_none).filter(|run| run.len() > 1) {
            let run: Vec<_> = run.iter().flatten().collect();
            for (n, (x, _, upper)) in run.iter().enumerate() {
                let letter = if n == 0 { "M" } else { "L" };
                put!(
                    path,
                    "{letter}{:.1} {:.1}",
                    self.x.place(*x),
                    self.y.place(*upper)
                );
            }
            for (x, lower, _) in run.iter().rev() {
                put!(path, "L{:.1} {:.1}", self.x.place(*x), self.y.place(*lower));
            }
            path.push('Z');
        }
        put!(self.body, r#"<path class="band {class}" d="{path}"/>"#);
    }

    /// A bar on the horizontal axis.
    pub(super) fn bar(&mut self, class: &str, from: f64, to: f64, height: f64) {
        let (left, right) = (self.x.place(from), self.x.place(to));
        let (top, bottom) = (self.y.place(height), self.size.height - BOTTOM);
        put!(
            self.body,
            r#"<rect class="bar {class}" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"/>"#,
            (right - left - 0.6).max(0.4),
            (bottom - top).max(0.0)
        );
    }

    /// A vertical mark over the whole height, with a text at its top.
    pub(super) fn mark(&mut self, class: &str, at: f64, text: &str) {
        self.rule(class, at);
        put!(
            self.body,
            r#"<text class="mark {class}" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            self.x.place(at),
            TOP - 4.0,
            escaped(text)
        );
    }

    /// A vertical line over the whole height.
    pub(super) fn rule(&mut self, class: &str, at: f64) {
        let x = self.x.place(at);
        put!(
            self.body,
            r#"<line class="mark {class}" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{:.1}"/>"#,
            self.size.height - BOTTOM
        );
    }

    /// A horizontal line over the whole width, with a text above its right end.
    pub(super) fn level(&mut self, class: &str, at: f64, text: &str) {
        let (y, right) = (self.y.place(at), self.size.width - self.right);
        put!(
            self.body,
            r#"<line class="mark {class}" x1="{LEFT}" x2="{right:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="mark {class}" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            right - 4.0,
            y - 5.0,
            escaped(text)
        );
    }

    /// A stretch of the horizontal axis, shaded over the whole height.
    pub(super) fn stretch(&mut self, class: &str, from: f64, to: f64) {
        let (left, right) = (self.x.place(from), self.x.place(to));
        put!(
            self.body,
            r#"<rect class="stretch {class}" x="{left:.1}" y="{TOP}" width="{:.1}" height="{:.1}"/>"#,
            right - left,
            self.size.height - BOTTOM - TOP
        );
    }

    /// A text above a place, from there on to the right.
    pub(super) fn label(&mut self, class: &str, at: f64, text: &str) {
        let x = self.x.place(at);
        put!(
            self.body,
            r#"<text class="mark {class}" x="{:.1}" y="{:.1}">{}</text>"#,
            x - 3.0,
            TOP - 4.0,
            escaped(text)
        );
    }

    /// Where the area ends.
    pub(super) fn right_end(&self) -> f64 {
        self.size.width
    }

    /// Whether it is drawn for a small screen.
    pub(super) fn is_narrow(&self) -> bool {
        self.size.is_narrow()
    }

    /// Names lines at their right ends; names that would meet make room for each other.
    pub(super) fn names(&mut self, ends: Vec<(f64, &str, String)>) {
        self.names_at(self.size.width - self.right + 6.0, ends);
    }

    /// Names lines that end at the same place, given in units of the plot.
    pub(super) fn names_at(&mut self, x: f64, mut ends: Vec<(f64, &str, String)>) {
        const APART: f64 = 15.0;
        ends.sort_by(|a, b| b.0.total_cmp(&a.0));
        let lowest = self.size.height - BOTTOM;
        let mut places: Vec<f64> = Vec::new();
        for (value, ..) in &ends {
            let wanted = self.y.place(*value) + 4.0;
            let free = places.last().map_or(TOP + 6.0, |last| last + APART);
            places.push(wanted.max(free));
        }
        // Pushed out below: back up, from the last one on.
        let mut limit = lowest;
        for place in places.iter_mut().rev() {
            *place = place.min(limit);
            limit = *place - APART;
        }
        for ((_, class, name), y) in ends.iter().zip(places) {
            put!(
                self.body,
                r#"<text class="name {class}" x="{x:.1}" y="{y:.1}">{}</text>"#,
                escaped(name)
            );
        }
    }

    fn finish(self, text: FigureText<'_>, suffix: &str) -> String {
        let FigureText {
            id,
            title,
            description,
        } = text;
        format!(
            r#"<svg role="img" class="plot {suffix}" viewBox="0 0 {} {}" aria-labelledby="{id}-{suffix}-t {id}-{suffix}-d"><title id="{id}-{suffix}-t">{}</title><desc id="{id}-{suffix}-d">{}</desc>{}</svg>"#,
            self.size.width,
            self.size.height,
            escaped(title),
            escaped(description),
            self.body
        )
    }
}

/// Text within XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&#38;")
        .replace('<', "&#60;")
        .replace('>', "&#62;")
        .replace('"', "&#34;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::axis::Scale;

    #[test]
    fn names_at_line_ends_do_not_meet() {
        let size = Size {
            width: 400.0,
            height: 200.0,
            ticks: 5,
        };
        let axis = Axis::new(Scale::Linear, 0.0, 1.0);
        let mut plot = Plot::new(size, 80.0, axis, axis);
        plot.names((0..6).map(|n| (0.0, "", n.to_string())).collect());
        let places: Vec<f64> = plot
            .body
            .split(" y=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(places.len(), 6);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 14.9));
        assert!(places.iter().all(|y| *y <= 160.0), "{places:?}");
    }
}
