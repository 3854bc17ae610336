//! Tests of the command on real servers, which they start themselves.
//!
//! Three tests run at a time: together they keep two cores busy. Several of them stop servers, or list all resources on them, so each has
//! a local stack to itself, and must leave it as it was. Timing tests have the machine to themselves.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod capture;
mod capture_kafka;
mod capture_messages;
mod capture_publications;
mod clusters;
mod commands;
mod dead_letters;
mod delay;
mod delays;
mod envelopes;
mod everything_secured;
mod exactly_once;
mod faults;
mod group;
#[path = "../../benches/inputs/mod.rs"]
mod inputs;
mod interrupts;
mod least_privilege;
mod limits;
mod load;
mod metrics;
mod no_harm;
mod observe;
mod observe_canary;
mod observe_lines;
mod observe_scale;
mod observe_service;
mod observe_source;
mod observe_standstill;
mod orphans;
mod outages;
mod partitions;
mod paths;
mod pki;
mod plain_user;
mod postgres_reached;
mod postgres_rights;
mod proxy;
mod random;
mod random_cuts;
mod reader;
mod reader_examples;
mod reader_faults;
mod reader_guarantees;
mod reader_large;
mod reader_positions;
mod reader_sinks;
mod reader_soak;
mod reader_standby;
mod reader_streams;
mod reader_two_phase;
mod reader_types;
mod reader_values;
mod refusals;
mod rehearsal;
mod results;
mod secrets;
mod secured_connect;
mod secured_kafka;
mod series;
mod shards;
mod sink;
mod skew;
mod slots_at_risk;
mod snapshot;
mod snapshot_chunks;
mod stack;
mod standby;
mod third_party;
mod tls;
#[cfg(feature = "otlp")]
mod traces;
mod watching;
mod workers;

use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use stack::TestStack;

/// Variable that lets each test say how long it took, waiting for a stack and for others included.
const TIMES: &str = "CDC_BENCH_TEST_TIMES";

/// Name and function of a test.
type Test = (&'static str, fn(&TestStack));

/// Whether a test may run beside another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    Shared,
    Alone,
}

/// The stacks that tests run on.
struct Stacks {
    /// Stacks not in use; there are as many stacks as tests at a time.
    free: Mutex<Vec<TestStack>>,
    machine: RwLock<()>,
    up: fn() -> TestStack,
}

impl Stacks {
    fn run(&self, test: fn(&TestStack), machine: Machine) -> Result<(), Failed> {
        let _shared = (machine == Machine::Shared).then(|| self.machine.read().unwrap());
        let _alone = (machine == Machine::Alone).then(|| self.machine.write().unwrap());
        let free = self.free.lock().unwrap().pop();
        let stack = free.unwrap_or_else(self.up);
        stack.delete_documents();
        let tested = std::panic::catch_unwind(|| {
            test(&stack);
            // Later commands would say so, in the midst of another test.
            assert_eq!(stack.orphans(), [""; 0], "on record as left");
        });
        let outcome = tested.map_err(|cause| {
            // So that the next test is not affected by what this one left.
            stack.clear();
            let words = cause.downcast::<String>();
            words.map_or_else(|_| "it panicked".into(), |words| Failed::from(*words))
        });
        self.free.lock().unwrap().push(stack);
        outcome
    }
}

fn main() {
    sink::run_if_asked();
    watching::panic_if_asked();
    let mut args = Arguments::from_args();
    args.test_threads.get_or_insert(3);
    let quick = [
        commands::TESTS,
        refusals::TESTS,
        interrupts::TESTS,
        plain_user::TESTS,
        outages::TESTS,
        dead_letters::TESTS,
        faults::TESTS,
        clusters::TESTS,
        exactly_once::TESTS,
        partitions::TESTS,
        paths::TESTS,
        reader::TESTS,
        snapshot::TESTS,
        snapshot_chunks::TESTS,
        reader_faults::TESTS,
        reader_types::TESTS,
        reader_streams::TESTS,
        reader_sinks::TESTS,
        reader_examples::TESTS,
        reader_values::TESTS,
        reader_positions::TESTS,
        reader_guarantees::TESTS,
        reader_large::TESTS,
        reader_standby::TESTS,
        reader_two_phase::TESTS,
        envelopes::TESTS,
        capture::TESTS,
        capture_kafka::TESTS,
        capture_messages::TESTS,
        capture_publications::TESTS,
        tls::TESTS,
        group::TESTS,
        results::TESTS,
        limits::TESTS,
        slots_at_risk::TESTS,
        load::TESTS,
        series::TESTS,
        shards::TESTS,
        metrics::TESTS,
        no_harm::TESTS,
        observe::TESTS,
        observe_source::TESTS,
        orphans::TESTS,
        postgres_rights::TESTS,
        watching::TESTS,
        workers::TESTS,
        #[cfg(feature = "otlp")]
        traces::TESTS,
    ]
    .concat();
    // Measurements need servers with their default settings.
    let are_long = args.ignored || args.include_ignored;
    let stacks = Arc::new(Stacks {
        free: Mutex::default(),
        machine: RwLock::default(),
        up: if are_long {
            TestStack::up
        } else {
            || TestStack::with_quick_jvms(&[])
        },
    });
    let trial = |(name, test): Test, machine: Machine| {
        let stacks = Arc::clone(&stacks);
        Trial::test(name, move || {
            let began = Instant::now();
            let outcome = stacks.run(test, machine);
            if std::env::var_os(TIMES).is_some() {
                eprintln!("{:6.1} s {name}", began.elapsed().as_secs_f64());
            }
            outcome
        })
    };
    let mut trials: Vec<_> = quick
        .into_iter()
        .map(|test| trial(test, Machine::Shared))
        .collect();
    let by_the_clock = [delays::TESTS, results::TESTS_BY_THE_CLOCK].concat();
    trials.extend(
        by_the_clock
            .into_iter()
            .map(|test| trial(test, Machine::Alone)),
    );
    // Minutes, not seconds: cargo test --release --test on_a_stack -- --ignored
    let long = [
        commands::LONG_TESTS,
        dead_letters::LONG_TESTS,
        faults::LONG_TESTS,
        clusters::LONG_TESTS,
        exactly_once::LONG_TESTS,
        group::LONG_TESTS,
        interrupts::LONG_TESTS,
        limits::LONG_TESTS,
        observe_canary::LONG_TESTS,
        observe_scale::LONG_TESTS,
        observe_service::LONG_TESTS,
        observe_lines::LONG_TESTS,
        observe_standstill::LONG_TESTS,
        orphans::LONG_TESTS,
        partitions::LONG_TESTS,
        paths::LONG_TESTS,
        random_cuts::LONG_TESTS,
        reader_soak::LONG_TESTS,
        rehearsal::LONG_TESTS,
        delays::LONG_TESTS,
        skew::LONG_TESTS,
        slots_at_risk::LONG_TESTS,
        postgres_reached::LONG_TESTS,
        results::LONG_TESTS,
        secured_connect::LONG_TESTS,
        everything_secured::LONG_TESTS,
        secured_kafka::LONG_TESTS,
        secrets::LONG_TESTS,
        least_privilege::LONG_TESTS,
        series::LONG_TESTS,
        third_party::LONG_TESTS,
        watching::LONG_TESTS,
        workers::LONG_TESTS,
    ]
    .concat();
    trials.extend(
        long.into_iter()
            .map(|test| trial(test, Machine::Alone).with_ignored_flag(true)),
    );
    let conclusion = libtest_mimic::run(&args, trials);
    drop(stacks);
    conclusion.exit();
}
