//! The metrics of one run: a registry, and the counters of its paths.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cdc_bench_model::RunId;
use cdc_bench_model::timeline::{CapturePath, Hop, Tally};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::exported::Exported;
use super::hop_metrics::{BUCKETS, HopMetrics};
use crate::load::Rate;

/// The metrics of a run.
pub struct Metrics {
    registry: Registry,
    hops: HistogramVec,
    events: IntCounterVec,
    troubles: IntCounterVec,
    dead_letters: IntCounterVec,
    under_way: IntGaugeVec,
    slot_lag: IntGaugeVec,
    /// The active paths.
    tracked: Mutex<Vec<TrackedPath>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Counters of a path.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathCounts {
    pub(crate) tally: Tally,
    pub(crate) dead_letters: u64,
    pub(crate) dead_letters_by_reason: BTreeMap<String, u64>,
}

/// A path, and how much of its counters is exported.
struct TrackedPath {
    path: CapturePath,
    /// Reads its counters.
    counts: Box<dyn Fn() -> PathCounts + Send>,
    exported: PathCounts,
}

impl Metrics {
    /// The metrics of one run, all at zero.
    ///
    /// # Panics
    /// Never: the names are valid and distinct.
    #[must_use]
    pub fn new(run: &RunId, paths: &[CapturePath], rate: Rate) -> Self {
        const WELL_NAMED: &str = "the names in this file are well formed, and none is there twice";
        let registry = Registry::new();
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let hops = HistogramVec::new(
            HistogramOpts::new(
                "cdc_bench_hop_seconds",
                "Spans of measured events that are in the store.",
            )
            .buckets(BUCKETS.to_vec()),
            &["path", "hop"],
        )
        .expect(WELL_NAMED);
        let counter = |name, help, label| {
            IntCounterVec::new(opts(name, help), &["path", label]).expect(WELL_NAMED)
        };
        let gauge = |name, help, labels: &[&str]| {
            IntGaugeVec::new(opts(name, help), labels).expect(WELL_NAMED)
        };
        let events = counter(
            "cdc_bench_events_total",
            "Measured events that have come to each place.",
            "place",
        );
        let troubles = counter(
            "cdc_bench_troubles_total",
            "Refused INSERTs, dead letters, events that came again, and disagreements on their position.",
            "kind",
        );
        let dead_letters = counter(
            "cdc_bench_dead_letters_total",
            "Records that could not be decoded or written, by the reason why.",
            "reason",
        );
        let under_way = gauge(
            "cdc_bench_events_under_way",
            "Events that are inserted, and not yet in the store.",
            &["path"],
        );
        let slot_lag = gauge(
            "cdc_bench_slot_lag_bytes",
            "WAL that the sender of the path's replication slot has not sent yet.",
            &["path"],
        );
        let run_info = gauge(
            "cdc_bench_run_info",
            "The run.",
            &["run", "capture", "rate"],
        );
        let build_info = gauge(
            "cdc_bench_build_info",
            "This program.",
            &["version", "profile"],
        );
        let capture: Vec<_> = paths.iter().map(|path| path.as_str()).collect();
        let rate = rate.to_string();
        run_info
            .with_label_values(&[run.as_str(), &capture.join(","), &rate])
            .set(1);
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION"), profile])
            .set(1);
        let all: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(hops.clone()),
            Box::new(events.clone()),
            Box::new(troubles.clone()),
            Box::new(dead_letters.clone()),
            Box::new(under_way.clone()),
            Box::new(slot_lag.clone()),
            Box::new(run_info),
            Box::new(build_info),
        ];
        for collector in all {
            registry.register(collector).expect(WELL_NAMED);
        }
        Self {
            registry,
            hops,
            events,
            troubles,
            dead_letters,
            under_way,
            slot_lag,
            tracked: Mutex::default(),
        }
    }

    /// The histograms of one path's hops.
    pub(crate) fn for_path(&self, path: CapturePath) -> HopMetrics {
        let of_hop = |hop: Hop| self.hops.with_label_values(&[path.as_str(), hop.as_str()]);
        HopMetrics(Hop::ALL.into_iter().map(|hop| (hop, of_hop(hop))).collect())
    }

    /// Exports a path's counters from now on.
    pub(crate) fn track_path(
        &self,
        path: CapturePath,
        counts: impl Fn() -> PathCounts + Send + 'static,
    ) {
        self.tracked().push(TrackedPath {
            path,
            counts: Box::new(counts),
            exported: PathCounts::default(),
        });
    }

    /// Exports the last counts, and forgets the paths.
    pub(crate) fn end_tracking(&self) {
        self.update_counters();
        self.tracked().clear();
        self.slot_lag.reset();
    }

    /// Sets the lag of each path's slot, bytes.
    pub(crate) fn slot_lags(&self, lags: impl Iterator<Item = (CapturePath, u64)>) {
        for (path, lag) in lags {
            let gauge = self.slot_lag.with_label_values(&[path.as_str()]);
            gauge.set(i64::try_from(lag).unwrap_or(i64::MAX));
        }
    }

    /// Adds what the paths have counted since the last time.
    fn update_counters(&self) {
        for tracked in self.tracked().iter_mut() {
            let counts = (tracked.counts)();
            let (now, exported) = (counts.tally, tracked.exported.tally);
            let path = tracked.path.as_str();
            for (place, now, exported) in [
                ("inserted", now.inserted, exported.inserted),
                ("captured", now.captured, exported.captured),
                ("consumed", now.consumed, exported.consumed),
                ("written", now.written, exported.written),
            ] {
                let counter = self.events.with_label_values(&[path, place]);
                counter.inc_by(now.saturating_sub(exported));
            }
            for (kind, now, exported) in [
                ("insert_error", now.insert_errors, exported.insert_errors),
                (
                    "dead_letter",
                    counts.dead_letters,
                    tracked.exported.dead_letters,
                ),
                ("duplicate", now.duplicates, exported.duplicates),
                ("lsn_mismatch", now.lsn_mismatches, exported.lsn_mismatches),
            ] {
                let counter = self.troubles.with_label_values(&[path, kind]);
                counter.inc_by(now.saturating_sub(exported));
            }
            for (reason, now) in &counts.dead_letters_by_reason {
                let exported = tracked.exported.dead_letters_by_reason.get(reason);
                let counter = self.dead_letters.with_label_values(&[path, reason]);
                counter.inc_by(now.saturating_sub(exported.copied().unwrap_or(0)));
            }
            let under_way = now.inserted.saturating_sub(now.written);
            let gauge = self.under_way.with_label_values(&[path]);
            gauge.set(i64::try_from(under_way).unwrap_or(i64::MAX));
            tracked.exported = counts;
        }
    }

    fn tracked(&self) -> MutexGuard<'_, Vec<TrackedPath>> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exported for Metrics {
    fn text(&self) -> Vec<u8> {
        self.update_counters();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use cdc_bench_model::timeline::{Stamp, Stamps};

    /// Names of the metrics in a text.
    fn names(text: &str) -> BTreeSet<String> {
        let word = |c: char| !(c.is_ascii_lowercase() || c == '_');
        let words = text
            .split(word)
            .filter(|word| word.starts_with("cdc_bench_"));
        words
            .map(|word| word.trim_end_matches("_bucket").to_owned())
            .collect()
    }

    fn metrics() -> Metrics {
        Metrics::new(&RunId::generate(), &[CapturePath::Wal], Rate::MAX)
    }

    #[test]
    fn spans_fall_into_their_buckets_also_below_zero() {
        let metrics = metrics();
        let at = |ms: i64| Stamp(ms * 1_000_000);
        let hops = Stamps {
            ts: at(0),
            t0: at(0),
            ta: at(1),
            tc: at(1),
            t1: at(2),
            td: None,
            t2: at(1),
            t3: at(4),
            t4: at(5),
            t5: at(20),
        };
        metrics.for_path(CapturePath::Wal).record(&hops.hops());
        let text = String::from_utf8(metrics.text()).unwrap();
        let has = |hop: &str, le: &str, count: u64| {
            let line = format!(
                "cdc_bench_hop_seconds_bucket{{hop=\"{hop}\",path=\"wal\",le=\"{le}\"}} {count}\n"
            );
            assert!(text.contains(&line), "{line} is not in {text}");
        };
        has("total", "0.01", 0);
        has("total", "0.025", 1);
        has("kafka_delivery", "0.0001", 1);
        has("consumer_lag", "0.0025", 0);
        has("consumer_lag", "0.005", 1);
    }

    #[test]
    fn dead_letters_are_counted_by_reason_and_never_twice() {
        let metrics = metrics();
        let counts = PathCounts {
            dead_letters: 3,
            dead_letters_by_reason: [("unparsable".to_owned(), 2), ("too_deep".to_owned(), 1)]
                .into(),
            ..PathCounts::default()
        };
        metrics.track_path(CapturePath::Wal, move || counts.clone());
        metrics.text();
        let text = String::from_utf8(metrics.text()).unwrap();
        for (reason, count) in [("unparsable", 2), ("too_deep", 1)] {
            let line = format!(
                "cdc_bench_dead_letters_total{{path=\"wal\",reason=\"{reason}\"}} {count}\n"
            );
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    }

    #[test]
    fn the_dashboard_uses_existing_metrics() {
        let dashboard = include_str!("../../../../deploy/grafana/cdc-bench.json");
        let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        assert!(parsed["panels"].as_array().unwrap().len() > 5);
        let metrics = metrics();
        metrics.for_path(CapturePath::Wal);
        for vec in [&metrics.events, &metrics.troubles, &metrics.dead_letters] {
            vec.with_label_values(&["wal", "x"]);
        }
        for vec in [&metrics.under_way, &metrics.slot_lag] {
            vec.with_label_values(&["wal"]);
        }
        let existing = names(&String::from_utf8(metrics.text()).unwrap());
        let used = names(dashboard);
        assert!(!used.is_empty());
        let unknown: Vec<_> = used.difference(&existing).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        // The table of the module lists exactly these metrics.
        let head = include_str!("mod.rs")
            .split("mod endpoint;")
            .next()
            .unwrap();
        let documented: BTreeSet<_> = names(head);
        let existing: BTreeSet<_> = existing
            .into_iter()
            .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
            .collect();
        assert_eq!(documented, existing);
    }
}
