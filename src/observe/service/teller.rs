//! Collects what is told of an observation, and tells it.

use std::sync::Arc;
use std::time::Duration;

use cdc_bench_model::observation::{ObservationCounts, ObservedChange, ObservedHop, SentChange};
use cdc_bench_model::report::ObservedPipeline;
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};

use super::group_lag::GroupLags;
use super::health::TapStates;
use super::metrics::{ObservedMetrics, Standing};
use super::slot::SlotPoller;
use crate::broker::OffsetPoll;
use crate::live::{LagFigures, ObservationFigures, ObservationMeter, TapFigures};
use crate::observe::discovery::Pipeline;
use crate::observe::liveness::Pulses;
use crate::observe::request::ObserveRequest;

/// Tells of an observation.
pub(in crate::observe) struct Teller {
    clock: Clock,
    group: Option<String>,
    taps: TapStates,
    lags: GroupLags,
    slot: Option<SlotPoller>,
    meter: ObservationMeter,
    metrics: Option<Arc<ObservedMetrics>>,
}

impl Teller {
    /// Of this pipeline.
    pub(in crate::observe) fn new(
        request: &ObserveRequest,
        pipeline: &Pipeline,
        described: &ObservedPipeline,
        (clock, pulses): (Clock, &Arc<Pulses>),
    ) -> Self {
        if let Some(metrics) = &request.metrics {
            metrics.name(described);
        }
        let has_group = pipeline.group.is_some();
        let topics = pipeline.topics.iter().map(|topic| topic.name.clone());
        let slot = pipeline.slot.clone();
        let has = (has_group, pipeline.sink.is_some());
        Self {
            clock,
            group: pipeline.group.clone(),
            taps: TapStates::new(has, request.poll_interval, pulses),
            lags: GroupLags::new(topics.collect()),
            slot: slot.map(|slot| SlotPoller::start(pipeline.postgres.clone(), slot, clock)),
            meter: ObservationMeter::default(),
            metrics: request.metrics.clone(),
        }
    }

    /// A change was followed to its end.
    pub(in crate::observe) fn completed(&mut self, change: &ObservedChange) {
        let hops = change.stamps.hops();
        self.meter.record(self.clock.now(), &hops, change.weight);
        if let Some(metrics) = &self.metrics {
            metrics.record(change);
        }
    }

    /// A change of the canary's was followed to its end.
    pub(in crate::observe) fn canary_completed(&self, change: &ObservedChange) {
        if let Some(metrics) = &self.metrics {
            metrics.record(change);
        }
    }

    /// A change whose sending is known was followed to its end.
    pub(in crate::observe) fn sent(&self, sent: &SentChange) {
        if let Some(metrics) = &self.metrics {
            metrics.sent(sent);
        }
    }

    /// The offsets were polled.
    pub(in crate::observe) fn polled(&mut self, poll: &OffsetPoll) {
        self.lags.polled(poll);
        self.taps.polled(poll);
    }

    /// A tap was cut.
    pub(in crate::observe) fn cut(&mut self, tap: &str, reason: &str) {
        self.taps.cut(tap, reason);
    }

    /// A tap goes on.
    pub(in crate::observe) fn resumed(&mut self, tap: &str) {
        self.taps.resumed(tap);
    }

    /// How far the hops may be off by the clocks.
    pub(in crate::observe) fn errors(&self, bound: impl Fn(ObservedHop) -> Option<Nanos>) {
        if let Some(metrics) = &self.metrics {
            metrics.errors(bound);
        }
    }

    /// Tells where the observation stands. `oldest`: when the oldest change was committed whose record is not in Kafka.
    pub(in crate::observe) fn tell(
        &mut self,
        counts: &ObservationCounts,
        sampled_share: f64,
        oldest: Option<Stamp>,
    ) -> ObservationFigures {
        let now = self.clock.now();
        let lags = self.lags.at(now);
        let debezium_lag = oldest.map_or(Nanos(0), |oldest| Nanos((now - oldest).0.max(0)));
        let slot = self.slot.as_ref().map(|slot| (&*slot.name, slot.state()));
        if let Some(metrics) = &self.metrics {
            metrics.tell(&Standing {
                counts,
                sampled_share,
                debezium_lag,
                slot: slot.clone(),
                group: self.group.as_deref(),
                lags: &lags,
                taps: &self.taps,
            });
        }
        let mut told = vec![LagFigures {
            name: "debezium".to_owned(),
            bytes: None,
            records: None,
            behind_s: Some(seconds(debezium_lag)),
        }];
        if let Some((name, Some(state))) = slot {
            told.push(LagFigures {
                name: format!("slot {name}"),
                bytes: state.unconfirmed_bytes,
                records: None,
                behind_s: state.behind.map(seconds),
            });
        }
        if let Some(group) = &self.group {
            told.push(LagFigures {
                name: format!("group {group}"),
                bytes: None,
                records: Some(lags.iter().map(|lag| lag.records).sum()),
                behind_s: lags.iter().map(|lag| lag.behind).max().map(seconds),
            });
        }
        let taps = self.taps.all().iter().map(|tap| TapFigures {
            name: tap.name.to_owned(),
            trouble: tap.trouble(),
            resumed: tap.resumed,
        });
        ObservationFigures {
            captured: counts.captured,
            in_kafka: counts.in_kafka,
            completed: counts.completed,
            in_flight: counts.in_flight,
            missing: counts.missing,
            duplicates: counts.duplicates,
            unreadable: counts.unreadable,
            sampled_share,
            hops: self.meter.hops(now),
            seconds: self.meter.seconds(now),
            lags: told,
            taps: taps.collect(),
        }
    }
}

fn seconds(span: Nanos) -> f64 {
    (Duration::from_nanos(span.0.unsigned_abs()).as_secs_f64() * 1e3).round() / 1e3
}
