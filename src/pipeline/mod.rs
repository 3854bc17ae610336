//! One run from set-up to clean-up: wires the stages together. The other commands borrow its parts.

pub mod setup;

mod checkpoints;
mod circumstances;
mod clean_up;
mod clocks;
mod compilers;
mod connector;
mod consume;
mod cpu;
mod doctor;
mod environment;
mod failure;
mod feed;
mod followers;
mod gauge;
mod incidents;
mod kept;
mod ledger;
mod leg;
mod lookout;
mod metrics;
mod observer;
mod outbox_table;
mod phases;
mod prepare;
mod proc;
mod reader_clock;
mod receipts;
mod relay;
mod route;
mod run;
mod servers;
mod stages;
mod summary;
mod sweep;
mod threads;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
mod traces;
mod tune;
mod warm;
mod within;

use crate::live::Figures;
use crate::load::LoadControl;
use cdc_bench_model::timeline::Nanos;
use cdc_bench_stack::Progress;

pub use clean_up::{Removal, remove_everything, remove_run};
pub use connector::ConnectorRequest;
pub use doctor::examine;
pub use failure::{Failure, exit};
pub use kept::keep_report;
pub use ledger::{Kind, Ledger};
pub use metrics::{Endpoint, EndpointError, Metrics};
pub use outbox_table::{OutboxError, OutboxKey, OutboxTable};
pub use prepare::{SetUp, set_up};
pub use reader_clock::ReaderClock;
pub use relay::{CAPTURE_STEP, Destination, LineFormat, RelayRequest, relay};
pub use run::{RunRequest, run, run_on};
pub use servers::Servers;
pub use stages::{ConsumeRequest, Consumed, GenerateRequest, Generated, consume, generate};
pub use sweep::{SweepRequest, sweep};
pub use traces::{Exported, Exporter, Traces, TracesError};
pub use tune::{Preference, TuneRequest, tune};
pub use warm::{ParseWarmUpError, WarmUp};

/// What is behind a lock is whole also where another thread panicked with it.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How the load stands, for whoever watches.
#[derive(Debug, Clone, Copy)]
pub struct LoadState {
    /// `warm-up`, `load` or `drain`.
    pub phase: &'static str,
    /// Events to come, where the load is limited by their number.
    pub target: Option<u64>,
    /// Committed.
    pub inserted: u64,
    /// In the store.
    pub written: u64,
    /// Into the store, over the last second or so.
    pub written_per_s: f64,
    /// Median of the total so far.
    pub p50: Option<Nanos>,
    /// 99th percentile of the total so far.
    pub p99: Option<Nanos>,
    /// Refused INSERTs and dead letters.
    pub errors: u64,
}

/// Hears how a run goes on.
pub trait RunProgress: Progress {
    /// Several times a second while events are under way.
    fn load(&self, state: &LoadState);

    /// The events are through.
    fn load_over(&self);

    /// The run as it stands, several times a second while events are under way.
    fn figures(&self, _: Figures) {}

    /// The step that has begun is a run, one of several; what it says of itself comes as details of this step.
    fn is_a_run(&self, _: &str) {}

    /// By what whoever watches steers the load, where he may.
    fn pace(&self) -> Option<LoadControl> {
        None
    }
}
