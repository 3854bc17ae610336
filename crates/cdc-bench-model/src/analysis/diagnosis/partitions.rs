//! The topic's partitions: one that has most of the records, and whether their number is what limits.

use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::ms;
use crate::analysis::SignedHistogram;
use crate::timeline::{CapturePath, Hop};

/// Rate up to which one partition with one consumer is not the bottleneck.
const ONE_PARTITION_PER_S: f64 = 2_000.0;
/// Fewer events say nothing of how they are spread.
const ENOUGH: u64 = 100;
/// Bytes of a partition that a fetch brings at most, where nothing else is set (librdkafka's default).
const FETCH_BYTES: u64 = 1_048_576;
/// Bytes of an event's record, about, without the schema that a converter may add.
const RECORD_BYTES: u64 = 900;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    let hot = hot(evidence);
    // A hot partition, and a fetch that brings too little, explain the backlog better.
    let number = if hot.is_some() {
        None
    } else {
        too_few(evidence).or_else(|| one_consumer(evidence))
    };
    hot.into_iter().chain(number).collect()
}

/// The share of one of `partitions` from which on it is far above the others: twice its part, or half-way from its part to all.
fn far_above(partitions: f64) -> f64 {
    let part = 1.0 / partitions;
    (2.0 * part).min(part.midpoint(1.0))
}

/// One partition has most of the records, and what waits in it is what the slowest events are slow by.
#[allow(clippy::cast_precision_loss)] // counts for ratios
fn hot(evidence: Evidence<'_>) -> Option<Finding> {
    let partitions = evidence.conditions.partitions;
    let by_partition = evidence.path.partitions();
    let events = by_partition.events();
    let (hot, spans) = by_partition.iter().max_by_key(|(_, spans)| spans.count())?;
    let share = spans.count() as f64 / events.max(1) as f64;
    if partitions < 2 || events < ENOUGH || share < far_above(f64::from(partitions)) {
        return None;
    }
    let p99 = |spans: &SignedHistogram| spans.quantile(0.99);
    let others = by_partition.iter().filter(|(other, _)| *other != hot);
    let elsewhere = others.map(|(_, spans)| p99(spans)).max();
    let of_tail = evidence.path.tail().share_of_lag_in(hot);
    let waits = p99(spans);
    let is_slower = elsewhere.is_none_or(|elsewhere| waits.0 >= 2 * elsewhere.0.max(0));
    if of_tail < 0.5 || !is_slower {
        return None;
    }
    let compared = elsewhere.map_or_else(String::new, |elsewhere| {
        format!(
            ", against {} at most in the others",
            ms(elsewhere.round_micros())
        )
    });
    Some(Finding::new(
        Some(Hop::ConsumerLag),
        Severity::Warning,
        format!(
            "partition {hot} has {:.0} % of the events of {partitions} partitions; a record waits up to {} in it (p99){compared}, and that is {:.0} % of the time of the slowest hundredth of the events",
            share * 100.0,
            ms(waits.round_micros()),
            of_tail * 100.0
        ),
        "records are spread by aggregate, and all of one aggregate are in one partition: look for the aggregate that changes all the time; more partitions or consumers do not help it",
    ))
}

/// Whether fewer events came than were scheduled, or as many as go.
fn is_behind(evidence: Evidence<'_>) -> bool {
    let conditions = evidence.conditions;
    match conditions.rate_per_s {
        Some(rate) => conditions.throughput_per_s < rate * 0.9,
        None => conditions.throughput_per_s > ONE_PARTITION_PER_S,
    }
}

/// The share of their time that the consumer's writers had a write in flight.
fn busy_writers(evidence: Evidence<'_>) -> Option<f64> {
    let writers = evidence.conditions.writes_in_flight;
    evidence.path.writers().busy_share(writers)
}

/// Whether the consumer is known to have had little to do: its writers were idle most of the time, and it took up at once what it had.
fn is_consumer_idle(evidence: Evidence<'_>) -> bool {
    let (lag, transform) = (evidence.hop(Hop::ConsumerLag), evidence.hop(Hop::Transform));
    let takes_at_once = lag
        .zip(transform)
        .is_some_and(|(lag, transform)| transform.p50 * 10 < lag.p50);
    takes_at_once && busy_writers(evidence).is_some_and(|busy| busy < 0.5)
}

/// Records wait in Kafka, more than a fetch brings of a partition, and the consumer has nothing to do. That less waits than a fetch could
/// bring would be a broker's doing, or a link's, which more partitions do not help.
fn too_few(evidence: Evidence<'_>) -> Option<Finding> {
    let conditions = evidence.conditions;
    let busy = busy_writers(evidence)?;
    let lag = evidence.certain(Hop::ConsumerLag)?;
    // Something else stood in the way.
    let is_disturbed = conditions.rebalances > 0
        || conditions.host_busy.is_none_or(|busy| busy > 0.9)
        || conditions
            .stalls
            .iter()
            .any(|stall| ["kafka", "consumer"].contains(&&*stall.server));
    let behind = conditions
        .rate_per_s
        .is_none_or(|rate| conditions.throughput_per_s < rate * 0.9);
    let setting = conditions.consumer.get("max.partition.fetch.bytes");
    let bytes = setting
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(FETCH_BYTES);
    let waiting = conditions.most_lag_records?;
    if waiting * RECORD_BYTES < 2 * bytes {
        return None;
    }
    if conditions.partitions < 1
        || !behind
        || !evidence.is_slowest(Hop::ConsumerLag)
        || !is_consumer_idle(evidence)
        || is_disturbed
    {
        return None;
    }
    Some(Finding::new(
        Some(Hop::ConsumerLag),
        Severity::Warning,
        format!(
            "records waited {} in Kafka at the median, up to {waiting} of a partition, while the consumer took up at once what it had and its writers were busy for {:.0} % of the time: a fetch brings {bytes} bytes of each partition at most, and the topic has {}",
            ms(lag.p50),
            busy * 100.0,
            if conditions.partitions == 1 {
                "one".to_owned()
            } else {
                conditions.partitions.to_string()
            }
        ),
        "more partitions (--partitions), or more of each with a fetch (--consumer-config max.partition.fetch.bytes=...)",
    ))
}

/// One partition is read by one consumer.
fn one_consumer(evidence: Evidence<'_>) -> Option<Finding> {
    let conditions = evidence.conditions;
    if conditions.partitions != 1 || evidence.path.path() == CapturePath::Embedded {
        return None;
    }
    let slow = evidence.is_slowest(Hop::ConsumerLag) || evidence.is_slowest(Hop::Processing);
    let total = evidence.total()?;
    // A backlog: events wait much longer than the median of a write explains.
    let write = evidence.hop(Hop::Write)?;
    if !is_behind(evidence) || !slow || total.p50 < write.p50 * 3 || is_consumer_idle(evidence) {
        return None;
    }
    Some(Finding::new(
        Some(Hop::ConsumerLag),
        Severity::Warning,
        format!(
            "{:.0} events a second reached the store and a backlog grew; the topic has one partition, so one consumer does all the work",
            conditions.throughput_per_s
        ),
        "more partitions keyed by aggregate (--partitions), and as many consumers in the group; or larger writes (BATCH_SIZE)",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Run, settings};

    #[test]
    fn one_partition_that_does_not_keep_up_is_named() {
        let mut run = Run::of(|n| {
            let wait = n * 4_000;
            [
                300,
                700,
                1_500,
                2_200,
                2_900 + wait,
                2_950 + wait,
                3_700 + wait,
                0,
            ]
        });
        assert!(!run.has_evidence("one partition"), "it keeps up");
        run.conditions.throughput_per_s = 90.0;
        assert!(run.has_evidence("the topic has one partition"));
        run.conditions.partitions = 6;
        assert!(!run.has_evidence("one partition"));
        let mut quick = Run::quick();
        quick.conditions.throughput_per_s = 90.0;
        assert!(!quick.has_evidence("one partition"), "nobody waited");
    }

    /// Waits in Kafka of events in partition 1, and of those elsewhere, microseconds.
    fn waits(partition: fn(i64) -> Option<i32>, in_one: i64, elsewhere: i64) -> Run {
        let mut run = Run::of(move |n| {
            let wait = if partition(n) == Some(1) {
                in_one
            } else {
                elsewhere
            };
            let received = 2_200 + wait;
            [
                300,
                700,
                1_500,
                2_200,
                received,
                received + 50,
                received + 800,
                0,
            ]
        });
        run.partition = partition;
        run.conditions.partitions = 4;
        run
    }

    #[test]
    fn a_partition_that_has_most_of_the_records_and_makes_the_slowest_slow_is_named() {
        let skewed: fn(i64) -> Option<i32> = |n| {
            Some(if n % 10 < 7 {
                1
            } else {
                i32::try_from(n % 4).unwrap()
            })
        };
        let even: fn(i64) -> Option<i32> = |n| Some(i32::try_from(n % 4).unwrap());
        let hot = "partition 1 has 80 % of the events of 4 partitions";
        assert!(waits(skewed, 90_000, 700).has_evidence(hot));
        assert!(
            !waits(skewed, 1_000, 700).has_evidence("partition 1"),
            "it does not wait"
        );
        assert!(
            !waits(skewed, 90_000, 80_000).has_evidence("partition 1"),
            "all wait"
        );
        assert!(
            !waits(even, 90_000, 700).has_evidence("partition 1"),
            "it has its part"
        );
        let mut two = waits(skewed, 90_000, 700);
        two.conditions.partitions = 2;
        assert!(two.has_evidence("partition 1 has 80 % of the events of 2 partitions"));
    }

    #[test]
    fn partitions_are_too_few_where_records_wait_and_the_consumer_does_not_work() {
        let words = "a fetch brings 20000 bytes of each partition at most, and the topic has 4";
        let slow = || {
            let mut run = waits(|n| Some(i32::try_from(n % 4).unwrap()), 90_000, 90_000);
            run.conditions.throughput_per_s = 90.0;
            run.conditions.writes_in_flight = 2;
            run.conditions.most_lag_records = Some(800);
            run.conditions.consumer = settings(&[("max.partition.fetch.bytes", "20000")]);
            run
        };
        assert!(slow().has_evidence(words));
        let mut keeps_up = slow();
        keeps_up.conditions.throughput_per_s = 167.0;
        assert!(!keeps_up.has_evidence("a fetch brings"));
        let mut unknown = slow();
        unknown.conditions.writes_in_flight = 0;
        assert!(
            !unknown.has_evidence("a fetch brings"),
            "how busy the writers were is not known"
        );
        let mut little = slow();
        little.conditions.consumer.clear();
        assert!(
            !little.has_evidence("a fetch brings"),
            "a fetch could bring all that waited"
        );
        let mut busy = slow();
        busy.conditions.host_busy = Some(0.97);
        assert!(
            !busy.has_evidence("a fetch brings"),
            "the machine is at its limit"
        );
        let mut rebalanced = slow();
        rebalanced.conditions.rebalances = 1;
        rebalanced.conditions.partitions = 1;
        assert!(!rebalanced.has_evidence("a fetch brings"));
        assert!(
            !rebalanced.has_evidence("one consumer"),
            "it had nothing to do"
        );
        // One partition is not said to need more consumers then.
        let mut one = slow();
        one.conditions.partitions = 1;
        assert!(one.has_evidence("and the topic has one"));
        assert!(!one.has_evidence("one consumer does all the work"));
    }
}
