//! The state of a run as a plain line.

use std::fmt;

use crate::live::Snapshot;
use cdc_bench_model::timeline::Nanos;

/// The state of a run as a plain line.
pub(crate) struct SnapshotLine<'a>(pub(crate) &'a Snapshot);

impl fmt::Display for SnapshotLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot {
            part,
            step,
            figures,
            ..
        } = self.0;
        let load = &figures.load;
        if let Some(part) = part {
            write!(f, "{part}  ")?;
        }
        if let Some(observation) = &figures.observation {
            write!(f, "{step}")?;
            for tap in &observation.taps {
                if let Some(trouble) = &tap.trouble {
                    write!(f, "  {} cut: {trouble}", tap.name)?;
                }
            }
            return Ok(());
        }
        if figures.paths.is_empty() {
            return write!(f, "{}", if step.is_empty() { "set-up" } else { step });
        }
        write!(f, "{}: {}", figures.phase.as_str(), load.written)?;
        if let Some(target) = load.target {
            write!(f, " of {target}")?;
        }
        write!(f, " in the store")?;
        if load.is_paused {
            write!(f, ", paused")?;
        }
        for path in &figures.paths {
            write!(f, "  {} {:.0}/s", path.path, path.throughput.now_per_s)?;
            if let Some(total) = path.total {
                let ms = |us| Nanos::from_micros(us).as_millis_f64();
                write!(
                    f,
                    " p50 {:.1} p99 {:.1} ms",
                    ms(total.p50_us),
                    ms(total.p99_us)
                )?;
            }
            if let Some(hop) = path.slowest() {
                write!(f, " slowest {}", hop.as_str())?;
            }
        }
        if load.errors > 0 {
            write!(f, "  errors {}", load.errors)?;
        }
        Ok(())
    }
}
