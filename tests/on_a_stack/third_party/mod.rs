//! `observe` on pipelines of other people's parts alone: PostgreSQL, Debezium, Kafka with three partitions, MongoDB's own sink
//! connector, and a store of its own.

mod downstream;
mod findings;
mod forms;
mod jdbc;
mod jdbc_sink;
mod links;
mod losses;
mod mirror;
mod observed;
mod other_keys;
mod pause;
mod pipeline;
mod process;
mod refusals;
mod registry;
mod shop;
mod sink;
mod skewed;
mod worker;

use super::Test;

pub const LONG_TESTS: &[Test] = &[
    (
        "third_party_pipeline_is_followed_at_every_tap_and_left_as_it_was",
        pipeline::followed,
    ),
    (
        "third_party_pause_of_the_sink_is_the_size_of_consume",
        pause::is_the_size_of_consume,
    ),
    (
        "third_party_restarts_are_ridden_out_and_marked",
        pipeline::restarts,
    ),
    (
        "third_party_sink_is_among_the_findings",
        findings::have_the_sink,
    ),
    ("third_party_losses_and_duplicates_are_found", losses::found),
    (
        "third_party_jdbc_sink_is_followed_at_every_tap_and_left_as_it_was",
        jdbc::followed,
    ),
    ("third_party_forms_of_records_are_all_joined", forms::joined),
    ("third_party_links_that_are_slow_are_named", links::named),
    (
        "third_party_links_of_a_jdbc_sink_that_are_slow_are_named",
        links::named_into_postgres,
    ),
    (
        "third_party_clocks_that_are_wrong_are_found_within_their_bounds",
        skewed::found_within_their_bounds,
    ),
    (
        "third_party_refusals_have_a_way_out",
        refusals::each_has_a_way_out,
    ),
];
