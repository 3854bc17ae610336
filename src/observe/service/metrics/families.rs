//! The metrics, registered.

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Upper bounds of the histogram buckets, seconds. Negative spans count in the first one.
const BUCKETS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0,
];

/// All metrics of an observation.
pub(super) struct Families {
    pub(super) registry: Registry,
    pub(super) hops: HistogramVec,
    pub(super) hop_errors: GaugeVec,
    pub(super) counters: Counters,
    pub(super) in_flight: Gauge,
    pub(super) sampled: Gauge,
    pub(super) debezium_lag: Gauge,
    pub(super) slot: SlotGauges,
    pub(super) group_records: GaugeVec,
    pub(super) group_seconds: GaugeVec,
    pub(super) tap_up: GaugeVec,
    pub(super) info: GaugeVec,
}

pub(super) struct Counters {
    pub(super) changes: IntCounterVec,
    pub(super) missing: IntCounterVec,
    pub(super) duplicates: IntCounterVec,
    pub(super) unreadable: IntCounterVec,
    pub(super) not_shown: IntCounterVec,
    pub(super) filtered: IntCounterVec,
    pub(super) tap_resumed: IntCounterVec,
}

pub(super) struct SlotGauges {
    pub(super) active: GaugeVec,
    pub(super) retained: GaugeVec,
    pub(super) unconfirmed: GaugeVec,
    pub(super) lag: GaugeVec,
}

const WELL_NAMED: &str = "the names in this file are well formed, and none is there twice";

impl Default for Families {
    /// All at zero.
    fn default() -> Self {
        let registry = Registry::new();
        let hops = HistogramVec::new(
            HistogramOpts::new(
                "cdc_bench_observe_hop_seconds",
                "Spans of the changes that were followed to their end.",
            )
            .buckets(BUCKETS.to_vec()),
            &["table", "hop"],
        )
        .expect(WELL_NAMED);
        registry.register(Box::new(hops.clone())).expect(WELL_NAMED);
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let name = format!("cdc_bench_observe_{name}");
            let gauges = GaugeVec::new(Opts::new(name, help), labels).expect(WELL_NAMED);
            registry
                .register(Box::new(gauges.clone()))
                .expect(WELL_NAMED);
            gauges
        };
        let gauge =
            |name: &str, help: &str| gauges(name, help, &[]).with_label_values(&[] as &[&str]);
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let name = format!("cdc_bench_observe_{name}");
            let counters = IntCounterVec::new(Opts::new(name, help), labels).expect(WELL_NAMED);
            registry
                .register(Box::new(counters.clone()))
                .expect(WELL_NAMED);
            counters
        };
        let build = GaugeVec::new(
            Opts::new("cdc_bench_build_info", "This program."),
            &["version", "profile"],
        )
        .expect(WELL_NAMED);
        registry
            .register(Box::new(build.clone()))
            .expect(WELL_NAMED);
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), profile])
            .set(1.0);
        Self {
            hops,
            hop_errors: gauges(
                "hop_error_seconds",
                "How far a hop's spans may be off by the clocks.",
                &["hop"],
            ),
            counters: Counters {
                changes: counters(
                    "changes_total",
                    "Changes that have come to each place.",
                    &["place"],
                ),
                missing: counters(
                    "missing_total",
                    "Changes that have not come when everything after them has.",
                    &[],
                ),
                duplicates: counters(
                    "duplicates_total",
                    "Records of a change that had come before.",
                    &[],
                ),
                unreadable: counters("unreadable_total", "Records that could not be read.", &[]),
                not_shown: counters(
                    "not_shown_total",
                    "Updates that the group has passed and the sink showed no write for.",
                    &[],
                ),
                filtered: counters(
                    "filtered_total",
                    "What is not followed on purpose.",
                    &["kind"],
                ),
                tap_resumed: counters(
                    "tap_resumed_total",
                    "How often a tap was cut and went on.",
                    &["tap"],
                ),
            },
            in_flight: gauge("in_flight_changes", "Changes under way."),
            sampled: gauge(
                "sampled_ratio",
                "Share of the changes that were followed, 0 to 1.",
            ),
            debezium_lag: gauge(
                "debezium_lag_seconds",
                "Age of the oldest change whose record is not in Kafka.",
            ),
            slot: SlotGauges {
                active: gauges(
                    "slot_active",
                    "1 while somebody reads from the connector's slot.",
                    &["slot"],
                ),
                retained: gauges(
                    "slot_retained_bytes",
                    "WAL that the connector's slot holds back.",
                    &["slot"],
                ),
                unconfirmed: gauges(
                    "slot_unconfirmed_bytes",
                    "WAL that the connector has not confirmed.",
                    &["slot"],
                ),
                lag: gauges(
                    "slot_lag_seconds",
                    "Since when there is WAL that the connector has not confirmed.",
                    &["slot"],
                ),
            },
            group_records: gauges(
                "group_lag_records",
                "Records that the group has not committed.",
                &["group", "topic", "partition"],
            ),
            group_seconds: gauges(
                "group_lag_seconds",
                "Since when there are records that the group has not committed.",
                &["group", "topic", "partition"],
            ),
            tap_up: gauges("tap_up", "1 while the tap lives.", &["tap"]),
            info: gauges(
                "info",
                "The pipeline.",
                &["connector", "publication", "group", "sink"],
            ),
            registry,
        }
    }
}
