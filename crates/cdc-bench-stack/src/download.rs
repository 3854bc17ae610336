//! How far a download is: bytes of all that is fetched at once, how fast, and how long the rest takes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::Teller;

/// What the speed is taken over.
const WINDOW: Duration = Duration::from_secs(3);
/// How often it is told, at most.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// Speeds over less than this say nothing.
const LEAST: Duration = Duration::from_millis(500);

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Download {
    /// Bytes that are here.
    pub done: u64,
    /// Bytes of everything.
    pub total: u64,
    /// Bytes a second over the last seconds; `None` before that is known.
    pub per_s: Option<f64>,
}

impl Download {
    /// The part that is here, 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // bytes far below 2^53
    pub fn part(&self) -> f64 {
        (self.done as f64 / self.total.max(1) as f64).min(1.0)
    }

    /// A bar of so many cells.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // cells of a line
    pub fn bar(&self, cells: usize) -> String {
        let full = (self.part() * cells as f64) as usize;
        format!("{}{}", "━".repeat(full), "─".repeat(cells - full))
    }

    /// How long the rest takes at this speed.
    #[allow(clippy::cast_precision_loss)] // bytes far below 2^53
    fn left_s(&self) -> Option<f64> {
        let per_s = self.per_s.filter(|per_s| *per_s >= 1.0)?;
        Some((self.total.saturating_sub(self.done) as f64 / per_s).ceil())
    }
}

impl fmt::Display for Download {
    #[allow(clippy::cast_precision_loss)] // bytes far below 2^53
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: f64| bytes / 1e6;
        let (done, total) = (mb(self.done as f64), mb(self.total as f64));
        write!(f, "{done:.1} of {total:.1} MB")?;
        if self.done == 0 {
            // Maven gets its own plugin first, pip its environment.
            return write!(f, ", mvn and pip make ready");
        }
        if let (Some(per_s), Some(left)) = (self.per_s, self.left_s()) {
            write!(f, ", {:.1} MB/s, {left:.0} s left", mb(per_s))?;
        }
        Ok(())
    }
}

/// Everything that is fetched at once, and who hears how far it is.
pub(super) struct Downloads<'a> {
    teller: &'a Teller,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parts: BTreeMap<&'static str, Part>,
    meter: Meter,
    told: Option<Instant>,
}

#[derive(Default)]
struct Part {
    done: u64,
    total: u64,
}

impl<'a> Downloads<'a> {
    pub(super) fn new(teller: &'a Teller) -> Self {
        Self {
            teller,
            state: Mutex::default(),
        }
    }

    /// Something else that is waited for.
    pub(super) fn say(&self, detail: &str) {
        self.teller.say(detail);
    }

    /// So many bytes of a part are to be fetched.
    pub(super) fn expect(&self, name: &'static str, total: u64) {
        self.change(true, |state| {
            state.parts.entry(name).or_default().total = total;
        });
    }

    /// So many bytes of a part are here. What has come once does not go again.
    pub(super) fn reached(&self, name: &'static str, done: u64) {
        self.change(false, |state| {
            let part = state.parts.entry(name).or_default();
            part.total = part.total.max(done);
            let more = done.saturating_sub(part.done);
            part.done += more;
            state.meter.add(Instant::now(), more);
        });
    }

    /// A part is here as a whole; what had been on this machine before counts, and not as speed.
    pub(super) fn whole(&self, name: &'static str) {
        self.change(true, |state| {
            let part = state.parts.entry(name).or_default();
            part.done = part.total;
        });
    }

    fn change(&self, at_once: bool, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if !at_once && state.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        state.told = Some(Instant::now());
        self.teller.download(Download {
            done: state.parts.values().map(|part| part.done).sum(),
            total: state.parts.values().map(|part| part.total).sum(),
            per_s: state.meter.per_s(),
        });
    }
}

/// The speed over the last seconds.
#[derive(Default)]
struct Meter {
    moved: u64,
    /// When so many bytes had come, oldest first.
    marks: VecDeque<(Instant, u64)>,
}

impl Meter {
    fn add(&mut self, now: Instant, bytes: u64) {
        self.moved += bytes;
        self.marks.push_back((now, self.moved));
        // The newest of those before the window is where it begins.
        while self.marks.len() > 2 && now.duration_since(self.marks[1].0) >= WINDOW {
            self.marks.pop_front();
        }
    }

    #[allow(clippy::cast_precision_loss)] // bytes far below 2^53
    fn per_s(&self) -> Option<f64> {
        let ((began, before), (now, moved)) = (self.marks.front()?, self.marks.back()?);
        let span = now.duration_since(*began);
        (span >= LEAST).then(|| (moved - before) as f64 / span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_says_how_much_how_fast_and_how_long() {
        let at = |done, per_s| Download {
            done,
            total: 120_000_000,
            per_s,
        };
        let nothing_yet = "0.0 of 120.0 MB, mvn and pip make ready";
        assert_eq!(at(0, None).to_string(), nothing_yet);
        let stuck = at(60_000_000, Some(0.0));
        assert_eq!(stuck.to_string(), "60.0 of 120.0 MB");
        let half = at(60_000_000, Some(7_500_000.0));
        assert_eq!(half.to_string(), "60.0 of 120.0 MB, 7.5 MB/s, 8 s left");
        assert_eq!(half.bar(6), "━━━───");
        assert_eq!(at(130_000_000, None).bar(3), "━━━");
        let nothing = Download {
            done: 0,
            total: 0,
            per_s: None,
        };
        assert_eq!(nothing.bar(2), "──");
    }

    #[test]
    fn speed_is_that_of_the_last_seconds_and_of_what_has_really_come() {
        let began = Instant::now();
        let mut meter = Meter::default();
        for tenth in 0..100_u64 {
            let bytes = if tenth < 50 { 10_000_000 } else { 100_000 };
            meter.add(began + Duration::from_millis(tenth * 100), bytes);
            if tenth == 0 {
                assert_eq!(meter.per_s(), None);
            }
        }
        let per_s = meter.per_s().unwrap();
        assert!((990_000.0..1_010_000.0).contains(&per_s), "{per_s}");
        assert!(meter.marks.len() < 40);
    }

    #[tokio::test]
    async fn what_was_on_the_machine_before_counts_and_not_as_speed() {
        let (teller, mut news) = Teller::new();
        let downloads = Downloads::new(&teller);
        downloads.expect("kafka", 1_000);
        downloads.expect("debezium", 500);
        downloads.reached("debezium", 300);
        downloads.reached("debezium", 200);
        downloads.whole("kafka");
        let mut last = None;
        while let Ok(told) = news.try_recv() {
            last = Some(told);
        }
        assert_eq!(
            last,
            Some(crate::client::News::Download(Download {
                done: 1_300,
                total: 1_500,
                per_s: None
            }))
        );
        let state = downloads.state.lock().unwrap();
        assert_eq!(state.meter.moved, 300);
    }
}
