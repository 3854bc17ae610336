//! A result: its schema, its files, how it is read back, and how it is written for people and for other programs.

#[cfg(test)]
mod agreement;
mod comparability;
mod comparison;
mod counts;
mod csv;
mod demo;
mod environment;
mod events;
mod fault;
mod fault_table;
mod figures;
mod folder;
mod footprint;
mod html;
mod incident;
mod interval_log;
mod json;
mod junit;
mod line;
mod markdown;
mod observation;
mod partition;
mod partition_table;
mod path_report;
mod recorder;
mod recording;
mod resilience;
#[cfg(test)]
mod sample;
mod shard;
mod shard_table;
mod side_by_side;
mod stall;
mod stored;
mod sweep;
mod table;
mod terminal;
mod tune;
mod worker;
mod worker_table;

pub use comparison::{
    Compared, ComparisonError, ComparisonRequest, RUN_NOISE, Side, SideReport, compare_results,
    render_comparison,
};
pub use csv::csv;
pub use demo::{ActReport, DEMO_SCHEMA, DemoReport, render_demo};

pub use comparability::{ConditionDifference, condition_differences};
pub use counts::{EventCounts, EventsByType, Verification};
pub use environment::{
    ConnectorReport, DebeziumReport, Environment, Host, KafkaReport, PostgresReport, Program,
    StoreReport, host, program,
};
pub use events::EventLine;
pub use fault::{FaultEffect, FaultReport};
pub use folder::{RecorderError, ResultFolder};
pub use folder::{seconds_between, write_whole};
pub use footprint::{Footprint, FootprintSeries};
pub use html::{
    PageError, comparison_page, demo_page, observation_page, page, resilience_page, sweep_page,
};
pub use incident::{
    CHECKPOINT, CHECKPOINT_WAITS, FAULT, GC_PAUSE, Incident, LOAD_PAUSED, RATE_CHANGED, REBALANCE,
    RESUMED, SLOT_UNREAD, SLOT_UNRESERVED, STALL, WARM_UP_CUT, WORKER_SILENT,
};
pub use json::{ClockReport, RUN, Report, ResumedRun, RunInfo, SCHEMA, Verdict};
pub use junit::{junit, observation_junit};
pub use markdown::markdown;
pub use observation::{
    ApplicationReport, CANARY, CanaryReport, CostReport, LatencyLog, Measured, OBSERVE, OBSERVED,
    ObservationComparison, ObservationInfo, ObservationReport, ObservedComparisonError,
    ObservedDiagnosis, ObservedDifference, ObservedPath, ObservedPipeline, ObservedTopicReport,
    TransactionsReport, compare_observations, observation_csv, observation_markdown,
    render_observation, render_observation_comparison,
};
pub use partition::PartitionReport;
pub use path_report::{PathNames, PathReport, RoundReport};
pub use recorder::{Recorder, RecorderHandle};
pub use recording::{PathRecording, RoundRecording};
pub use resilience::{
    RESILIENCE_SCHEMA, ResilienceReport, ResilienceRun, WorstEffects, render_resilience,
};
pub use shard::ShardReport;
pub use stall::StallReport;
pub use stored::{Events, LATEST, Stored, StoredError, StoredEvent, StoredObservation};
pub use sweep::{KneeReport, PathSweep, SCHEMA as SWEEP_SCHEMA, Step, SweepReport, render_sweep};
pub use terminal::render;
pub use tune::{
    Configuration, HeadToHead, Recommended, RecommendedConnector, SCHEMA as TUNE_SCHEMA, TrialRun,
    TuneReport, TuneTrial, render_tune,
};
pub use worker::{WorkerReport, WorkerSilence};
