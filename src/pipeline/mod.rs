//! A run from set-up to clean-up, and the parts of it that other commands use.
//!
//! | module | what it is | uses |
//! | --- | --- | --- |
//! | `commands` | what each command does | every module |
//! | `distributed` | what the workers of a test say to each other | `provision` |
//! | `run` | trials, phases, workers, stamps | `provision`, `monitor`, `export` |
//! | `monitor` | servers and processes while events are in flight | `provision`, `export` |
//! | `provision` | source, connector, routes, names, registry of resources, clean-up | |
//! | `outcome` | facts, incidents, the report | `run`, `provision`, `monitor` |
//! | `export` | metrics and traces | |
//!
//! All of them use the parameters of a run ([`RunRequest`]), the failure of a command ([`Failure`]), and its progress
//! ([`RunProgress`]).

mod commands;
mod distributed;
mod export;
mod failure;
mod faults;
mod lock;
mod monitor;
mod outcome;
mod progress;
mod provision;
mod request;
mod run;

pub use commands::capture_job::{
    CAPTURE_STEP, CaptureEnd, CaptureRequest, CaptureSource, Destination, LineFormat, Preparation,
    TopicRequest, TopicRule, check_topic_prefix, run_capture,
};
pub use commands::consume::{ConsumeRequest, Consumed, consume};
pub use commands::dead_letters::{
    Listed, Place, PlacedDeadLetter, ReplayRequest, ReplayTo, Replayed, Summary, Whence, list,
    replay, show,
};
pub use commands::doctor::examine;
pub use commands::generate::{GenerateRequest, Generated, generate};
pub use commands::resilience::{ResilienceRequest, resilience};
pub use commands::resume::resume;
pub use commands::run::{FinishedRun, run, run_on};
pub use commands::setup::{SetUp, set_up};
pub use commands::sweep::{SweepRequest, sweep};
pub use commands::tune::{Preference, TuneRequest, tune};
pub use commands::worker::merge_rehearsal::{RehearsedEvent, RehearsedWorker, merge_rehearsed};
pub use commands::worker::request::{Worked, WorkerRequest};
pub use commands::worker::taking_up::test_under_way;
pub use commands::worker::work::{machine_name, work};
pub use distributed::control_record::WorkerRole;
pub use export::metrics::{Endpoint, EndpointError, Exported, Metrics, ProbeAnswer};
pub use export::traces::{ExportedTraces, Exporter, Traces, TracesError};
pub use failure::{Failure, exit};
pub use faults::{
    Fault, FaultAction, FaultTarget, ImpossibleFault, LinkAction, LinkTarget, Moment,
    ParseFaultError, ProcessAction, ProcessTarget, check_faults,
};
pub(crate) use monitor::disk_guard::DiskGuard;
pub(crate) use monitor::postgres_clock::measure_postgres;
pub(crate) use monitor::processes;
pub(crate) use monitor::pulse::Pulse;
pub use progress::{LoadState, RunProgress};
pub use provision::clean_up::{CleanUpScope, remove_everything, remove_run};
pub(crate) use provision::observations::{
    drop_publication, left_by_observations, make_publication,
};
pub use provision::orphan_notice::orphan_notice;
pub use provision::orphan_removal::{LeftResource, OrphanRemoval, Orphans, remove_orphans};
pub(crate) use provision::patience::Patience;
pub use provision::removal::Removal;
pub use provision::resource_registry::{ResourceKind, ResourceRegistry};
pub use provision::servers::ServerClients;
pub use provision::source::{PUBLICATION, SourceError, connect_postgres, drop_slot};
pub(crate) use provision::source::{check_decoding, check_replication, check_writable};
pub use provision::topic::WantedTopic;
pub use request::parameters::RunParameters;
pub use request::resumption::Resumption;
pub use request::{
    ConnectorRequest, DistributedRequest, Limits, ParseWarmUpError, RunRequest, WarmUp,
};
pub use run::outbox_table::{OutboxError, OutboxKey, OutboxTable};
pub use run::reader_clock::ReaderClock;
