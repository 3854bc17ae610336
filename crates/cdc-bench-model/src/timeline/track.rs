//! A foreign clock over a run: its offset as a line through the measurements, and the error bound of stamps corrected
//! by it.
//!
//! Each measurement gives an interval that holds the offset at one time. Every line through all intervals is possible.
//! Stamps are corrected during the run by the line known then; the measurements until the end bound the error of each.

use super::{ClockOffset, Nanos, Stamp};

/// The offset of a foreign clock as a linear function of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OffsetLine {
    /// A time on our clock.
    at: i64,
    /// Foreign clock minus ours at that time, nanoseconds.
    offset: f64,
    /// Change of the offset per nanosecond.
    drift: f64,
}

impl OffsetLine {
    /// The same offset at all times.
    #[must_use]
    pub fn constant(offset: Nanos) -> Self {
        Self {
            at: 0,
            offset: as_f64(offset.0),
            drift: 0.0,
        }
    }

    /// The offset at a time on our clock.
    #[must_use]
    pub fn offset_at(&self, ours: Stamp) -> Nanos {
        Nanos(rounded(self.value(ours.0)))
    }

    /// Converts a foreign reading to our clock.
    #[must_use]
    pub fn to_ours(&self, foreign: Stamp) -> Stamp {
        // The time of the reading is first estimated without drift; the error this makes in the offset is negligible.
        let near = foreign - Nanos(rounded(self.offset));
        if self.drift == 0.0 {
            return near;
        }
        foreign - self.offset_at(near)
    }

    /// How much the foreign clock gains, parts per million.
    #[must_use]
    pub fn drift_ppm(&self) -> f64 {
        self.drift * 1e6
    }

    fn value(&self, at: i64) -> f64 {
        self.offset + self.drift * as_f64(at - self.at)
    }
}

/// Exact up to 2^53 ns, 104 days; what is passed here are differences.
#[allow(clippy::cast_precision_loss)]
fn as_f64(nanos: i64) -> f64 {
    nanos as f64
}

#[allow(clippy::cast_possible_truncation)] // saturates, and offsets are far from its ends
fn rounded(nanos: f64) -> i64 {
    // As `round`, which is a call where the processor may lack SSE 4.1. It differs next below a half, and beyond 52 days.
    (nanos + 0.5_f64.copysign(nanos)) as i64
}

/// An interval that held the offset at one time.
#[derive(Debug, Clone, Copy)]
struct OffsetInterval {
    at: i64,
    low: f64,
    high: f64,
}

/// The measurements of one foreign clock, and the lines used for correction.
#[derive(Debug, Clone, Default)]
pub struct ClockTrack {
    measured: Vec<OffsetInterval>,
    /// Lines used for correction, each from its time until the next one's.
    used: Vec<(i64, OffsetLine)>,
}

impl ClockTrack {
    /// Adds a measurement. They come in the order of their times.
    pub fn observe(&mut self, at: Stamp, offset: ClockOffset) {
        let (middle, half) = (as_f64(offset.offset.0), as_f64(offset.error_bound.0));
        self.measured.push(OffsetInterval {
            at: at.0,
            low: middle - half,
            high: middle + half,
        });
    }

    /// Records that stamps are corrected by this line from `from` on.
    pub fn use_line(&mut self, from: Stamp, line: OffsetLine) {
        self.used.push((from.0, line));
    }

    /// Forgets the lines used so far; for corrections before the measured events.
    pub fn forget_lines(&mut self) {
        self.used.clear();
    }

    /// Rests on the last measurements alone from now on, and on the line in use: no straight line describes a clock for days.
    pub fn begin_anew(&mut self) {
        const KEPT: usize = 4;
        let surplus = self.measured.len().saturating_sub(KEPT);
        self.measured.drain(..surplus);
        let surplus = self.used.len().saturating_sub(1);
        self.used.drain(..surplus);
    }

    /// The offset first used for correction.
    #[must_use]
    pub fn first_offset(&self) -> Option<Nanos> {
        let (from, line) = self.used.first()?;
        Some(line.offset_at(Stamp(*from)))
    }

    /// Measurements so far.
    #[must_use]
    pub fn measurements(&self) -> usize {
        self.measured.len()
    }

    /// The best line for the measurements: a constant if one fits, because a slope between measurements this close
    /// together is mostly noise; else the middle of all lines that fit; if none fits, the last measurement alone.
    #[must_use]
    pub fn line(&self) -> Option<OffsetLine> {
        let last = self.measured.last()?;
        let low = self.measured.iter().map(|i| i.low).fold(f64::MIN, f64::max);
        let high = self
            .measured
            .iter()
            .map(|i| i.high)
            .fold(f64::MAX, f64::min);
        let constant = |offset| OffsetLine {
            at: last.at,
            offset,
            drift: 0.0,
        };
        if low <= high {
            return Some(constant(f64::midpoint(low, high)));
        }
        let lines = self.possible();
        let by_drift = |a: &&OffsetLine, b: &&OffsetLine| a.drift.total_cmp(&b.drift);
        let ends = lines
            .iter()
            .min_by(by_drift)
            .zip(lines.iter().max_by(by_drift));
        Some(match ends {
            Some((least, most)) => OffsetLine {
                at: last.at,
                offset: f64::midpoint(least.value(last.at), most.value(last.at)),
                drift: f64::midpoint(least.drift, most.drift),
            },
            None => constant(f64::midpoint(last.low, last.high)),
        })
    }

    /// Whether no line fits the measurements: the clock was stepped, or its rate changed.
    #[must_use]
    pub fn is_uneven(&self) -> bool {
        self.measured.len() > 2 && self.possible().is_empty()
    }

    /// Whether the measurements allow this offset at that time.
    #[must_use]
    pub fn allows(&self, at: Stamp, offset: Nanos) -> bool {
        let offset = as_f64(offset.0);
        self.extremes(&self.possible(), at.0)
            .is_none_or(|(low, high)| (low..=high).contains(&offset))
    }

    /// Change of the offset from the first measurement to the last, by the best line.
    #[must_use]
    pub fn drift(&self) -> Option<Nanos> {
        let (first, last) = (self.measured.first()?, self.measured.last()?);
        let line = self.line().filter(|_| first.at < last.at)?;
        Some(Nanos(rounded(line.value(last.at) - line.value(first.at))))
    }

    /// Error bound of all stamps corrected by the lines used; `None` without measurements.
    #[must_use]
    pub fn error_bound(&self) -> Option<Nanos> {
        let end = self.measured.last()?.at;
        let possible = self.possible();
        let mut worst = 0.0_f64;
        for (position, (from, line)) in self.used.iter().enumerate() {
            let next = self.used.get(position + 1);
            let until = next.map_or(end.max(*from), |(from, _)| *from);
            // Both are straight, so the error is largest at an end.
            for at in [*from, until] {
                let (low, high) = self.extremes(&possible, at)?;
                let used = line.value(at);
                worst = worst.max(high - used).max(used - low);
            }
        }
        Some(Nanos(rounded(worst.ceil())))
    }

    /// The smallest and largest possible offset at a time; `lines` are the extreme possible lines.
    fn extremes(&self, lines: &[OffsetLine], at: i64) -> Option<(f64, f64)> {
        let mut span = None;
        let mut include = |low: f64, high: f64| {
            let (l, h) = span.unwrap_or((low, high));
            span = Some((low.min(l), high.max(h)));
        };
        if lines.is_empty() {
            // No line fits: use the neighbouring measurements.
            let after = self.measured.partition_point(|i| i.at < at);
            let near = [after.checked_sub(1), Some(after)];
            for interval in near
                .into_iter()
                .flatten()
                .filter_map(|n| self.measured.get(n))
            {
                include(interval.low, interval.high);
            }
        }
        for line in lines {
            include(line.value(at), line.value(at));
        }
        span
    }

    /// The extreme lines among those through every interval: each goes through the ends of two intervals. Empty for a
    /// single measurement, or if no line fits.
    fn possible(&self) -> Vec<OffsetLine> {
        let mut lines = Vec::new();
        for (n, first) in self.measured.iter().enumerate() {
            for second in self.measured[n + 1..].iter().filter(|i| i.at > first.at) {
                for (start, end) in [
                    (first.low, second.low),
                    (first.low, second.high),
                    (first.high, second.low),
                    (first.high, second.high),
                ] {
                    let line = OffsetLine {
                        at: first.at,
                        offset: start,
                        drift: (end - start) / as_f64(second.at - first.at),
                    };
                    if self.measured.iter().all(|i| i.is_met_by(&line)) {
                        lines.push(line);
                    }
                }
            }
        }
        lines
    }
}

impl OffsetInterval {
    fn is_met_by(&self, line: &OffsetLine) -> bool {
        // A corner lies on two intervals' ends, but for what rounding leaves: far below a nanosecond.
        let value = line.value(self.at);
        (self.low - 0.5..=self.high + 0.5).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    fn offset(offset: i64, bound: i64) -> ClockOffset {
        ClockOffset {
            offset: Nanos(offset),
            error_bound: Nanos(bound),
            samples: 1,
            inconsistent: false,
        }
    }

    /// Measures every two seconds, and corrects by what is known then.
    fn track(measured: &[(i64, i64)]) -> ClockTrack {
        let mut track = ClockTrack::default();
        for (n, (middle, bound)) in (0..).zip(measured) {
            let at = Stamp(n * 2 * SECOND);
            track.observe(at, offset(*middle, *bound));
            track.use_line(at, track.line().unwrap());
        }
        track
    }

    #[test]
    fn a_steady_clock_has_no_slope() {
        let steady = track(&[(100, 50), (130, 40), (95, 60)]);
        let line = steady.line().unwrap();
        assert_eq!(line.drift_ppm(), 0.0);
        // The three have 90 to 150 in common; a clock that drifts through their far ends is not ruled out.
        assert_eq!(line.offset_at(Stamp(77 * SECOND)), Nanos(120));
        assert!(
            steady.error_bound().unwrap() <= Nanos(90),
            "{:?}",
            steady.error_bound()
        );
        assert_eq!(steady.drift(), Some(Nanos(0)));
    }

    #[test]
    fn a_clock_that_gains_has_its_slope() {
        // 100 ppm: 200 us every two seconds.
        let gaining = track(&[
            (0, 20_000),
            (200_000, 20_000),
            (400_000, 20_000),
            (600_000, 20_000),
        ]);
        let line = gaining.line().unwrap();
        assert!((line.drift_ppm() - 100.0).abs() < 7.0, "{line:?}");
        let drift = gaining.drift().unwrap().0;
        assert!((drift - 600_000).abs() < 40_000, "{drift}");
        // Before the second measurement the slope was not known.
        let bound = gaining.error_bound().unwrap().0;
        assert!((180_000..=260_000).contains(&bound), "{bound}");
        assert!(!gaining.is_uneven());
    }

    #[test]
    fn a_clock_that_was_stepped_is_uneven_and_its_bound_covers_the_step() {
        let stepped = track(&[(0, 100), (0, 100), (5_000_000, 100), (5_000_000, 100)]);
        assert!(stepped.is_uneven());
        assert!(stepped.error_bound().unwrap() >= Nanos(5_000_000));
    }

    #[test]
    fn one_measurement_is_its_own_bound() {
        assert_eq!(track(&[(100, 50)]).error_bound(), Some(Nanos(50)));
        assert_eq!(ClockTrack::default().error_bound(), None);
        assert!(ClockTrack::default().allows(Stamp(0), Nanos(7)));
        assert!(!track(&[(100, 50)]).allows(Stamp(0), Nanos(151)));
    }

    #[test]
    fn a_reading_comes_back_to_our_clock() {
        let line = OffsetLine {
            at: 10 * SECOND,
            offset: 3.6e12,
            drift: 1e-4,
        };
        let ours = Stamp(25 * SECOND);
        let foreign = ours + line.offset_at(ours);
        let off = line.to_ours(foreign) - ours;
        assert!(off.0.abs() <= 1_000, "{off}");
    }

    proptest! {
        #[test]
        fn no_corrected_stamp_is_further_off_than_the_bound(
            start in -4_000_000_000_000_i64..4_000_000_000_000,
            ppm in -200_i64..200,
            noise in proptest::collection::vec((0.0_f64..1.0, 1_000_i64..900_000), 1..12),
            when in 0.0_f64..1.0,
        ) {
            let truth = |at: i64| start + at / 1_000_000 * ppm;
            let mut track = ClockTrack::default();
            for (n, (place, width)) in (0..).zip(&noise) {
                let at = n * 2 * SECOND;
                // The truth is somewhere in the interval.
                let middle = truth(at) + rounded((place - 0.5) * as_f64(*width));
                track.observe(Stamp(at), offset(middle, width / 2 + 1));
                track.use_line(Stamp(at), track.line().unwrap());
            }
            let end = track.measured.last().unwrap().at;
            let at = rounded(when * as_f64(end));
            let (_, line) = track.used.iter().rev().find(|(from, _)| *from <= at).unwrap();
            let off = (line.offset_at(Stamp(at)).0 - truth(at)).abs();
            let bound = track.error_bound().unwrap().0;
            prop_assert!(off <= bound + 300, "{off} > {bound}");
        }
    }
}
