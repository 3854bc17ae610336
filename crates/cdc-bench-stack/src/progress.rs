//! Progress of long operations: their steps, and how far a download is.

use std::fmt;

/// Name of the step that stops servers started by us.
pub const STOPPING: &str = "stopping servers";

/// Observer of long operations: it is told of each step, for display.
pub trait StepProgress: Send + Sync {
    /// A step begins.
    fn begin(&self, step: &str);
    /// A step reports a detail.
    fn update(&self, step: &str, detail: &str);
    /// A step reports its download.
    fn download(&self, step: &str, download: &Download);
    /// A step ends.
    fn end(&self, step: &str, detail: &str);
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Download {
    /// Bytes fetched.
    pub done: u64,
    /// Bytes to fetch in total.
    pub total: u64,
    /// Bytes per second over the last seconds; `None` until it is known.
    pub per_s: Option<f64>,
}

impl Download {
    /// The fetched share, 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // bytes far below 2^53
    pub fn part(&self) -> f64 {
        (self.done as f64 / self.total.max(1) as f64).min(1.0)
    }

    /// A progress bar of `cells` characters.
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

    /// Remaining seconds at this speed.
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
            // Maven fetches its own plugin first, and pip sets up its environment.
            return write!(f, ", mvn and pip make ready");
        }
        if let (Some(per_s), Some(left)) = (self.per_s, self.left_s()) {
            write!(f, ", {:.1} MB/s, {left:.0} s left", mb(per_s))?;
        }
        Ok(())
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
}
