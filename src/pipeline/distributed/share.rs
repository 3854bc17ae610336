//! Cuts the load of a test: an event is inserted by the worker that consumes its partition, if that one loads.

use std::collections::{BTreeMap, BTreeSet};

use cdc_bench_model::event::OutboxRow;

use crate::broker::partition_of;
use crate::debezium::aggregate_key;

/// The partition of an aggregate's events.
pub(crate) fn partition_of_row(row: &OutboxRow, partitions: i32) -> i32 {
    partition_of(&aggregate_key(row.aggregate_id), partitions)
}

/// Who inserts the events of each partition: its consumer if it loads too; else the loaders in turn, those first who have no
/// partition.
pub(crate) fn loaders(
    partitions: i32,
    consumers: &BTreeMap<i32, String>,
    loading: &BTreeSet<String>,
) -> Vec<String> {
    let owning: BTreeSet<&String> = consumers.values().collect();
    let idle = loading.iter().filter(|worker| !owning.contains(worker));
    let others = loading.iter().filter(|worker| owning.contains(worker));
    let mut in_turn = idle.chain(others).cycle();
    let of = |partition| match consumers.get(&partition) {
        Some(owner) if loading.contains(owner) => owner.clone(),
        _ => in_turn.next().cloned().unwrap_or_default(),
    };
    (0..partitions).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn whoever_consumes_a_partition_loads_it() {
        let consumers = |of: &[(i32, &str)]| -> BTreeMap<i32, String> {
            let owned = |(partition, worker): &(i32, &str)| (*partition, (*worker).to_owned());
            of.iter().map(owned).collect()
        };
        let owners = consumers(&[(0, "a"), (1, "b"), (2, "a"), (3, "c")]);
        assert_eq!(
            loaders(4, &owners, &names(&["a", "b", "c"])),
            ["a", "b", "a", "c"]
        );
        // "c" does not load, and "d" has nothing to consume.
        assert_eq!(
            loaders(4, &owners, &names(&["a", "b", "d"])),
            ["a", "b", "a", "d"]
        );
        // Nobody who consumes loads.
        assert_eq!(
            loaders(4, &owners, &names(&["x", "y"])),
            ["x", "y", "x", "y"]
        );
    }
}
