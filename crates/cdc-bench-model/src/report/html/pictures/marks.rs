//! Incidents of a run as numbered marks on the time axis.

use crate::report::html::plot::Plot;
use crate::report::{
    CHECKPOINT, CHECKPOINT_WAITS, GC_PAUSE, LOAD_PAUSED, RATE_CHANGED, REBALANCE, SLOT_UNREAD,
    STALL, WARM_UP_CUT,
};

/// An incident at a time of the run.
#[derive(Debug, Clone)]
pub(in crate::report::html) struct IncidentMark {
    /// Seconds since the first INSERT.
    pub(in crate::report::html) at_s: f64,
    /// How long it went on.
    pub(in crate::report::html) took_s: Option<f64>,
    /// Its number in the list beneath the plot.
    pub(in crate::report::html) number: usize,
    pub(in crate::report::html) sort: IncidentKind,
}

/// The kind of an incident; each has a line style and a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report::html) enum IncidentKind {
    /// A server or the connector failed.
    Fault,
    /// The load was steered.
    Load,
    Rebalance,
    Checkpoint,
    /// A server or a JVM stood still.
    Stall,
}

impl IncidentKind {
    /// Of an incident of this kind.
    pub(in crate::report::html) fn of(kind: &str) -> Self {
        match kind {
            CHECKPOINT | CHECKPOINT_WAITS => Self::Checkpoint,
            STALL | GC_PAUSE | SLOT_UNREAD => Self::Stall,
            REBALANCE => Self::Rebalance,
            LOAD_PAUSED | RATE_CHANGED | WARM_UP_CUT => Self::Load,
            _ => Self::Fault,
        }
    }

    /// Its word, and its class in the page.
    pub(in crate::report::html) fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Load => "load",
            Self::Rebalance => "rebalance",
            Self::Checkpoint => "checkpoint",
            Self::Stall => "stall",
        }
    }
}

/// The marks as text, for screen readers.
pub(super) fn marked(marks: &[IncidentMark]) -> String {
    if marks.is_empty() {
        return String::new();
    }
    let texts: Vec<_> = marks
        .iter()
        .map(|mark| {
            format!(
                "{} {} at {:.1} s",
                mark.number,
                mark.sort.as_str(),
                mark.at_s
            )
        })
        .collect();
    format!(
        " Marked by their numbers in the list: {}.",
        texts.join(", ")
    )
}

/// Marks with a number each, and the word beside it where there is room; of marks too close for that, the numbers from
/// the first to the last.
pub(super) fn draw_marks(plot: &mut Plot, marks: &[IncidentMark]) {
    for mark in marks {
        let class = format!("incident {}", mark.sort.as_str());
        if let Some(took) = mark.took_s {
            plot.stretch(&class, mark.at_s, mark.at_s + took);
        }
        plot.rule(&class, mark.at_s);
    }
    let mut marks: Vec<_> = marks.iter().collect();
    marks.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    let near = |a: &&IncidentMark, b: &&IncidentMark| {
        plot.x.place(b.at_s) - plot.x.place(a.at_s) < NUMBER_WIDTH
    };
    let groups: Vec<_> = marks.chunk_by(near).collect();
    let mut labels = Vec::new();
    for (n, group) in groups.iter().enumerate() {
        let [first, .., last] = group else {
            let mark = group[0];
            let word = format!("{} {}", mark.number, mark.sort.as_str());
            let room = word.len() as f64 * LETTER_WIDTH + NUMBER_WIDTH;
            let place = plot.x.place(mark.at_s);
            let next = groups.get(n + 1).map(|next| plot.x.place(next[0].at_s));
            let fits = place + room < next.unwrap_or(plot.right_end());
            labels.push((mark.at_s, if fits { word } else { mark.number.to_string() }));
            continue;
        };
        labels.push((first.at_s, format!("{}–{}", first.number, last.number)));
    }
    for (at, label) in labels {
        plot.label("incident", at, &label);
    }
}

/// Room for a number, and for a letter, in units of the plot.
const NUMBER_WIDTH: f64 = 26.0;
const LETTER_WIDTH: f64 = 7.2;
