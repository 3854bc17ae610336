//! The collections of a JVM as it logs them (`-Xlog:gc:file=...:utctime`): each of its pauses, with its end and its length.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a JVM writes the time.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.f%z";

/// A time in which a JVM stood still to collect garbage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcPause {
    /// `kafka` or `connect`.
    pub server: String,
    /// When it began, to a millisecond.
    pub began: jiff::Timestamp,
    /// How long.
    pub took: Duration,
}

/// The log of collections beside a server's log.
pub(crate) fn gc_log(log: &Path) -> PathBuf {
    log.with_extension("gc.log")
}

/// The pauses of a server with this log; none if it is no JVM. Of a server that was started again, those since.
pub(super) fn gc_pauses(server: &str, log: &Path) -> Vec<GcPause> {
    let text = std::fs::read_to_string(gc_log(log)).unwrap_or_default();
    text.lines()
        .filter_map(|line| pause(server, line))
        .collect()
}

/// `[2026-11-29T08:00:00.123+0000] GC(3) Pause Young (Allocation Failure) 34M->4M(123M) 6.123ms`.
fn pause(server: &str, line: &str) -> Option<GcPause> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (_, what) = rest.split_once(") ")?;
    let ms: f64 = what
        .strip_prefix("Pause ")?
        .rsplit_once(' ')?
        .1
        .strip_suffix("ms")?
        .parse()
        .ok()?;
    let took = Duration::try_from_secs_f64(ms / 1e3).ok()?;
    let ended = jiff::fmt::strtime::parse(TIME, time)
        .ok()?
        .to_timestamp()
        .ok()?;
    Some(GcPause {
        server: server.to_owned(),
        began: ended.checked_sub(took).ok()?,
        took,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_has_its_beginning_and_its_length() {
        let line = "[2026-11-29T08:00:00.123+0000] GC(3) Pause Young (Allocation Failure) 34M->4M(123M) 23.000ms";
        let found = pause("kafka", line).unwrap();
        assert_eq!(found.took, Duration::from_millis(23));
        assert_eq!(found.began.to_string(), "2026-11-29T08:00:00.1Z");
        for other in [
            "",
            "[2026-11-29T08:00:00.123+0000] Using Serial",
            "[2026-11-29T08:00:00.123+0000] GC(4) Concurrent Mark Cycle 3.2ms",
            "[2026-11-29T08:00:00.123+0000] GC(3) Pause Young",
        ] {
            assert_eq!(pause("kafka", other), None, "{other}");
        }
    }
}
