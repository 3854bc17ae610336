//! Metrics of an observation, for Prometheus.
//!
//! | metric | labels | |
//! | --- | --- | --- |
//! | `cdc_bench_observe_hop_seconds` | `table`, `hop` | histogram: spans of the changes that were followed to their end |
//! | `cdc_bench_observe_hop_error_seconds` | `hop` | gauge: how far these may be off by the clocks |
//! | `cdc_bench_observe_changes_total` | `place` | counter: `captured`, `in_kafka`, `completed` |
//! | `cdc_bench_observe_missing_total` | | counter: changes that have not come when everything after them has |
//! | `cdc_bench_observe_duplicates_total` | | counter: records of a change that had come before |
//! | `cdc_bench_observe_unreadable_total` | | counter: records that could not be read |
//! | `cdc_bench_observe_not_shown_total` | | counter: updates that the group has passed and the sink showed no write for |
//! | `cdc_bench_observe_filtered_total` | `kind` | counter: what is not followed on purpose |
//! | `cdc_bench_observe_in_flight_changes` | | gauge: changes under way |
//! | `cdc_bench_observe_sampled_ratio` | | gauge: share of the changes that were followed, 0 to 1 |
//! | `cdc_bench_observe_debezium_lag_seconds` | | gauge: age of the oldest change whose record is not in Kafka; 0 without one |
//! | `cdc_bench_observe_slot_active` | `slot` | gauge: 1 while somebody reads from the connector's slot |
//! | `cdc_bench_observe_slot_retained_bytes` | `slot` | gauge: WAL that it holds back |
//! | `cdc_bench_observe_slot_unconfirmed_bytes` | `slot` | gauge: WAL that its reader has not confirmed |
//! | `cdc_bench_observe_slot_lag_seconds` | `slot` | gauge: since when there is such WAL |
//! | `cdc_bench_observe_group_lag_records` | `group`, `topic`, `partition` | gauge: records that the group has not committed |
//! | `cdc_bench_observe_group_lag_seconds` | `group`, `topic`, `partition` | gauge: since when there are such |
//! | `cdc_bench_observe_tap_up` | `tap` | gauge: 1 while it lives; `wal`, `topics`, `offsets`, `sink` |
//! | `cdc_bench_observe_tap_resumed_total` | `tap` | counter: how often it was cut and went on |
//! | `cdc_bench_observe_info` | `connector`, `publication`, `group`, `sink` | 1 |
//! | `cdc_bench_build_info` | `version`, `profile` | 1 |
//!
//! 16 tables and 256 partitions have labels of their own; the rest is `(others)`.

mod families;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cdc_bench_model::observation::{ObservationCounts, ObservedChange, ObservedHop, SentChange};
use cdc_bench_model::report::ObservedPipeline;
use cdc_bench_model::timeline::Nanos;
use prometheus::{Encoder, Histogram, IntCounterVec, TextEncoder};

use self::families::Families;
use super::group_lag::PartitionLag;
use super::health::{HealthAnswer, TapStates};
use super::slot::SlotState;
use crate::observe::table_limit::{OTHER_TABLES, TABLES};
use crate::pipeline::{Exported, ProbeAnswer};

/// The metrics of an observation, and its health.
#[derive(Default)]
pub struct ObservedMetrics {
    families: Families,
    told: Mutex<Told>,
}

/// What was told last.
#[derive(Default)]
struct Told {
    tables: HashMap<Arc<str>, [Histogram; ObservedHop::ALL.len()]>,
    taps: Option<(TapStates, Instant)>,
}

impl fmt::Debug for ObservedMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedMetrics").finish_non_exhaustive()
    }
}

/// What is told at once.
pub(super) struct Standing<'a> {
    pub(super) counts: &'a ObservationCounts,
    pub(super) sampled_share: f64,
    /// Age of the oldest change whose record is not in Kafka.
    pub(super) debezium_lag: Nanos,
    pub(super) slot: Option<(&'a str, Option<SlotState>)>,
    pub(super) group: Option<&'a str>,
    pub(super) lags: &'a [PartitionLag],
    pub(super) taps: &'a TapStates,
}

impl ObservedMetrics {
    /// Names the pipeline.
    pub(super) fn name(&self, pipeline: &ObservedPipeline) {
        let or_none = |name: &Option<String>| name.clone().unwrap_or_default();
        let labels = [
            or_none(&pipeline.connector),
            pipeline.publication.clone(),
            or_none(&pipeline.group),
            or_none(&pipeline.sink),
        ];
        self.families.info.with_label_values(&labels).set(1.0);
    }

    /// A change that was followed to its end.
    pub(super) fn record(&self, change: &ObservedChange) {
        let hops = change.stamps.hops();
        let known = ObservedHop::ALL.into_iter();
        let known = known.filter_map(|hop| Some((hop, hops.get(hop)?)));
        self.observe(&change.id.table, known, change.weight);
    }

    /// A change whose sending is known.
    pub(super) fn sent(&self, sent: &SentChange) {
        self.observe(&sent.table, sent.hops().into_iter(), sent.weight);
    }

    /// Spans of a change that stands for `weight` of them.
    fn observe(
        &self,
        table: &Arc<str>,
        spans: impl Iterator<Item = (ObservedHop, Nanos)>,
        weight: u64,
    ) {
        let mut told = self.told();
        let has_own = told.tables.contains_key(table) || told.tables.len() < TABLES;
        let table = if has_own {
            Arc::clone(table)
        } else {
            OTHER_TABLES.into()
        };
        let histograms = told.tables.entry(table).or_insert_with_key(|table| {
            ObservedHop::ALL.map(|hop| {
                self.families
                    .hops
                    .with_label_values(&[&**table, hop.as_str()])
            })
        });
        for (hop, span) in spans {
            for _ in 0..weight {
                histograms[hop.index()].observe(seconds(span));
            }
        }
    }

    /// How far the hops may be off.
    pub(super) fn errors(&self, bound: impl Fn(ObservedHop) -> Option<Nanos>) {
        for hop in ObservedHop::ALL {
            if let Some(bound) = bound(hop) {
                let gauge = self.families.hop_errors.with_label_values(&[hop.as_str()]);
                gauge.set(seconds(bound));
            }
        }
    }

    /// Where the observation stands.
    pub(super) fn tell(&self, standing: &Standing<'_>) {
        let counts = standing.counts;
        let raise = |counters: &IntCounterVec, labels: &[&str], to: u64| {
            let counter = counters.with_label_values(labels);
            counter.inc_by(to.saturating_sub(counter.get()));
        };
        for (place, count) in [
            ("captured", counts.captured),
            ("in_kafka", counts.in_kafka),
            ("completed", counts.completed),
        ] {
            raise(&self.families.counters.changes, &[place], count);
        }
        raise(&self.families.counters.missing, &[], counts.missing);
        raise(&self.families.counters.duplicates, &[], counts.duplicates);
        raise(&self.families.counters.unreadable, &[], counts.unreadable);
        raise(&self.families.counters.not_shown, &[], counts.not_shown);
        let filtered = serde_json::json!(counts.filtered);
        for (kind, count) in filtered.as_object().into_iter().flatten() {
            let count = count.as_u64().unwrap_or(0);
            raise(&self.families.counters.filtered, &[kind], count);
        }
        self.families.in_flight.set(number(counts.in_flight));
        self.families.sampled.set(standing.sampled_share);
        self.families
            .debezium_lag
            .set(seconds(standing.debezium_lag));
        self.tell_slot(standing);
        self.tell_lags(standing);
        for tap in standing.taps.all() {
            let is_up = tap.trouble().is_none();
            let gauge = self.families.tap_up.with_label_values(&[tap.name]);
            gauge.set(if is_up { 1.0 } else { 0.0 });
            raise(
                &self.families.counters.tap_resumed,
                &[tap.name],
                tap.resumed,
            );
        }
        self.told().taps = Some((standing.taps.clone(), Instant::now()));
    }

    /// A slot that cannot be polled has no figures, and not its last ones.
    fn tell_slot(&self, standing: &Standing<'_>) {
        let gauges = &self.families.slot;
        let state = match &standing.slot {
            Some((name, Some(state))) => Some((*name, state)),
            _ => None,
        };
        let figures = state.map(|(name, state)| {
            let figures = [
                (&gauges.active, Some(f64::from(u8::from(state.is_active)))),
                (&gauges.retained, state.retained_bytes.map(number)),
                (&gauges.unconfirmed, state.unconfirmed_bytes.map(number)),
                (&gauges.lag, state.behind.map(seconds)),
            ];
            (name, figures)
        });
        let Some((name, figures)) = figures else {
            for gauges in [
                &gauges.active,
                &gauges.retained,
                &gauges.unconfirmed,
                &gauges.lag,
            ] {
                gauges.reset();
            }
            return;
        };
        for (gauges, figure) in figures {
            match figure {
                Some(figure) => gauges.with_label_values(&[name]).set(figure),
                None => gauges.reset(),
            }
        }
    }

    fn tell_lags(&self, standing: &Standing<'_>) {
        let Some(group) = standing.group else { return };
        for lag in standing.lags {
            let partition = lag.partition;
            let partition = partition.map_or(OTHER_TABLES.to_owned(), |p| p.to_string());
            let labels = [group, lag.topic.as_str(), partition.as_str()];
            let records = self.families.group_records.with_label_values(&labels);
            records.set(number(lag.records));
            let behind = self.families.group_seconds.with_label_values(&labels);
            behind.set(seconds(lag.behind));
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exported for ObservedMetrics {
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.families.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }

    fn health(&self) -> Option<ProbeAnswer> {
        let told = self.told().taps.clone();
        let answer = match told {
            Some((taps, at)) => HealthAnswer::of(&taps, at.elapsed()),
            None => HealthAnswer::starting(),
        };
        Some(ProbeAnswer {
            is_healthy: answer.is_healthy,
            json: answer.json,
        })
    }
}

#[allow(clippy::cast_precision_loss)] // spans far below 2^53 ns
fn seconds(span: Nanos) -> f64 {
    span.0 as f64 / 1e9
}

#[allow(clippy::cast_precision_loss)] // a gauge is a float
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
