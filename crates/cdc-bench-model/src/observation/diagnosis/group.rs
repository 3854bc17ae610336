//! The consumer group: lag by partition, how often it commits, rebalances, and what cannot be seen of it.

use super::evidence::{GroupEvidence, ObservedEvidence, PartitionEvidence};
use super::figures::{Hops, certain, finding, hop, ms, percent};
use crate::analysis::{Finding, Severity, times};
use crate::observation::ObservedHop;

/// Records below which a share says nothing.
const ENOUGH: u64 = 100;
/// A commit interval that shows in `consume`, microseconds.
const SELDOM_US: i64 = 1_000_000;

pub(super) fn findings(hops: &Hops, evidence: &ObservedEvidence) -> Vec<Finding> {
    let Some(group) = &evidence.group else {
        return Vec::new();
    };
    [
        without_members(group),
        rebalances(group),
        commit_interval(hops, group).filter(|_| !evidence.has_sink),
        hot_partition(group),
        lag(group),
        fetch_settings(hops, group),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn without_members(group: &GroupEvidence) -> Option<Finding> {
    (group.without_members > 0).then(|| {
        finding(
            Some(ObservedHop::Consume),
            Severity::Critical,
            format!(
                "group \"{}\" had no member for {} % of the time",
                group.name,
                percent(group.without_members, group.polls)
            ),
            "its consumers are down or paused: what is in Kafka waits for them",
        )
    })
}

fn rebalances(group: &GroupEvidence) -> Option<Finding> {
    (group.rebalances > 0).then(|| {
        finding(
            Some(ObservedHop::Consume),
            Severity::Warning,
            format!(
                "group \"{}\" was found rebalancing, or with other members, {}",
                group.name,
                times(group.rebalances)
            ),
            "records wait meanwhile: static members (group.instance.id), cooperative assignment, a larger max.poll.interval.ms where a batch takes long",
        )
    })
}

/// A change that ends with the group's commit waits for it.
fn commit_interval(hops: &Hops, group: &GroupEvidence) -> Option<Finding> {
    let interval = i64::try_from(group.commit_interval?.as_micros()).ok()?;
    let consume = certain(hops, ObservedHop::Consume)?;
    if interval < SELDOM_US || consume.p50 * 4 < interval {
        return None;
    }
    Some(finding(
        Some(ObservedHop::Consume),
        Severity::Warning,
        format!(
            "group \"{}\" commits every {} at the median, and consume takes {}: it ends with the commit, and is mostly the wait for it",
            group.name,
            ms(interval),
            ms(consume.p50)
        ),
        "let the sink be looked at (MONGODB_URI), which shows when a change is there; or commit more often: offset.flush.interval.ms of the Connect worker (60 s by default), auto.commit.interval.ms of a consumer (5 s)",
    ))
}

fn hot_partition(group: &GroupEvidence) -> Option<Finding> {
    let records: u64 = group.partitions.iter().map(|known| known.records).sum();
    let hot = group.partitions.iter().max_by_key(|known| known.records)?;
    let partitions = u64::try_from(group.partitions.len()).ok()?;
    let share = percent(hot.records, records);
    if partitions < 2 || records < ENOUGH || share < 50 || share < 200 / partitions {
        return None;
    }
    Some(finding(
        Some(ObservedHop::Consume),
        Severity::Warning,
        format!(
            "partition {} of {} has {share} % of the records of {partitions} partitions, and a lag of up to {}: one consumer does most of the work",
            hot.partition, hot.topic, hot.lag_most
        ),
        "records are spread by their key: look for one row, or one value of message.key.columns, that changes all the time; more consumers do not help here",
    ))
}

fn lag(group: &GroupEvidence) -> Option<Finding> {
    let sum = |of: fn(&PartitionEvidence) -> u64| group.partitions.iter().map(of).sum::<u64>();
    let (left, came) = (sum(|known| known.lag_last), sum(|known| known.records));
    // At the end every record may wait for the next commit.
    if left < ENOUGH * 10 || left * 2 < came {
        return None;
    }
    Some(finding(
        Some(ObservedHop::Consume),
        Severity::Critical,
        format!(
            "group \"{}\" was {left} records behind at the end, while {came} came: it does not keep up",
            group.name
        ),
        "more consumers (up to the number of partitions), larger batches into the sink (max.poll.records, fetch.min.bytes), or a quicker sink",
    ))
}

/// What a consumer's own settings cost cannot be seen from outside.
fn fetch_settings(hops: &Hops, group: &GroupEvidence) -> Option<Finding> {
    let consume = certain(hops, ObservedHop::Consume)?;
    let total = hop(hops, ObservedHop::Total)?;
    if consume.mean * 2 < total.mean {
        return None;
    }
    let deliver = hop(hops, ObservedHop::Deliver).map_or(0, |hop| hop.p50);
    Some(finding(
        Some(ObservedHop::Consume),
        Severity::Info,
        format!(
            "consume is most of the total ({} at the median), and a plain consumer has a record after {}; the fetch settings of group \"{}\" are not to be seen from outside",
            ms(consume.p50),
            ms(deliver),
            group.name
        ),
        "check fetch.min.bytes (1), fetch.max.wait.ms, max.poll.records and what is done with a batch before it is written; a Connect sink's are consumer.override.*",
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture::{Case, hops};
    use super::*;

    fn partition(number: i32, records: u64, lag: u64) -> PartitionEvidence {
        PartitionEvidence {
            topic: "shop.public.orders".to_owned(),
            partition: number,
            records,
            lag_last: lag,
            lag_most: lag,
        }
    }

    fn with_group(group: GroupEvidence) -> Case {
        let mut case = Case::new();
        case.hops = hops([800, 900, 700]);
        case.evidence.group = Some(GroupEvidence {
            name: "readers".to_owned(),
            polls: 20,
            ..group
        });
        case
    }

    #[test]
    fn a_group_without_members_and_one_that_rebalances_are_named() {
        let quiet = with_group(GroupEvidence::default());
        assert!(quiet.findings().is_empty(), "{:?}", quiet.findings());
        let case = with_group(GroupEvidence {
            without_members: 5,
            rebalances: 2,
            ..GroupEvidence::default()
        });
        assert!(case.says("no member for 25 %"));
        assert!(case.says("with other members, 2 times"));
    }

    #[test]
    fn a_rare_commit_is_told_from_a_slow_consumer() {
        let mut case = with_group(GroupEvidence {
            commit_interval: Some(Duration::from_secs(60)),
            ..GroupEvidence::default()
        });
        assert!(
            !case.says("commits every"),
            "the sink has its changes sooner"
        );
        case.hops = hops([800, 900, 28_000_000]);
        assert!(case.says("commits every 60.0 s"), "{:?}", case.findings());
        assert!(case.says("fetch settings"));
        case.evidence.has_sink = true;
        assert!(!case.says("commits every"), "it ends with the sink");
        case.evidence.has_sink = false;
        case.evidence.group.get_or_insert_default().commit_interval =
            Some(Duration::from_millis(100));
        assert!(!case.says("commits every"));
    }

    #[test]
    fn one_hot_partition_is_named() {
        let case = |partitions| {
            with_group(GroupEvidence {
                partitions,
                ..GroupEvidence::default()
            })
        };
        let hot = case(vec![
            partition(0, 50, 0),
            partition(1, 900, 70),
            partition(2, 50, 0),
        ]);
        assert!(hot.says("partition 1 of shop.public.orders has 90 %"));
        let even = case(vec![
            partition(0, 330, 0),
            partition(1, 340, 0),
            partition(2, 330, 0),
        ]);
        assert!(even.findings().is_empty());
        assert!(case(vec![partition(0, 900, 0)]).findings().is_empty());
    }

    #[test]
    fn a_group_that_does_not_keep_up_is_named() {
        let case = with_group(GroupEvidence {
            partitions: vec![partition(0, 6_000, 4_000), partition(1, 6_000, 4_500)],
            ..GroupEvidence::default()
        });
        assert!(case.says("8500 records behind at the end"));
    }
}
