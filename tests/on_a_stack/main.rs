//! What the command does on real servers: one local stack is started by the command itself, and every test uses it.
//!
//! The tests run one after the other: several of them take servers away.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod capture;
mod commands;
mod delay;
mod delays;
mod envelopes;
mod group;
#[path = "../../benches/inputs/mod.rs"]
mod inputs;
mod interrupts;
mod load;
mod metrics;
mod outages;
mod paths;
mod proxy;
mod reader;
mod reader_faults;
mod refusals;
mod results;
mod series;
mod sink;
mod skew;
mod snapshot;
mod stack;
mod tls;
#[cfg(feature = "otlp")]
mod traces;
mod watching;

use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use stack::TestStack;

/// Its name, and what it does.
type Test = (&'static str, fn(&TestStack));

fn main() {
    sink::be_one_if_asked();
    watching::panic_if_asked();
    let mut args = Arguments::from_args();
    args.test_threads = Some(1);
    let quick = [
        commands::TESTS,
        refusals::TESTS,
        interrupts::TESTS,
        outages::TESTS,
        paths::TESTS,
        delays::TESTS,
        reader::TESTS,
        snapshot::TESTS,
        reader_faults::TESTS,
        envelopes::TESTS,
        capture::TESTS,
        tls::TESTS,
        group::TESTS,
        results::TESTS,
        load::TESTS,
        series::TESTS,
        metrics::TESTS,
        watching::TESTS,
        #[cfg(feature = "otlp")]
        traces::TESTS,
    ]
    .concat();
    let stack = (!args.list).then(|| Arc::new(TestStack::up()));
    let trial = |(name, test): Test, long: bool| {
        let stack = stack.clone();
        Trial::test(name, move || {
            let stack = stack
                .as_ref()
                .expect("the stack is up unless tests are only listed");
            std::panic::catch_unwind(|| test(stack)).map_err(|cause| {
                // So that the next one does not trip over what this one left.
                stack.clear();
                let words = cause.downcast::<String>();
                words.map_or_else(|_| "it panicked".into(), |words| Failed::from(*words))
            })
        })
        .with_ignored_flag(long)
    };
    let mut trials: Vec<_> = quick.into_iter().map(|test| trial(test, false)).collect();
    // Minutes, not seconds: cargo test --release --test on_a_stack -- --ignored
    let long = [
        commands::LONG_TESTS,
        group::LONG_TESTS,
        paths::LONG_TESTS,
        delays::LONG_TESTS,
        skew::LONG_TESTS,
        results::LONG_TESTS,
        series::LONG_TESTS,
        watching::LONG_TESTS,
    ]
    .concat();
    trials.extend(long.into_iter().map(|test| trial(test, true)));
    let conclusion = libtest_mimic::run(&args, trials);
    drop(stack);
    conclusion.exit();
}
