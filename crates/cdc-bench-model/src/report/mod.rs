//! A result: its schema, its files, how it is read back, and how it is written for people and for other programs.

#[cfg(test)]
mod agreement;
mod comparison;
mod csv;
mod demo;
mod events;
mod figures;
mod folder;
mod html;
mod json;
mod junit;
mod likeness;
mod markdown;
mod recorder;
#[cfg(test)]
mod sample;
mod side_by_side;
mod stored;
mod sweep;
mod terminal;
mod tune;

pub use comparison::{
    Compared, ComparisonError, ComparisonRequest, RUN_NOISE, Side, SideReport, compare_results,
    render_comparison,
};
pub use csv::csv;
pub use demo::{ActReport, DEMO_SCHEMA, DemoReport, render_demo};

pub use events::EventLine;
pub use folder::{RecorderError, ResultFolder};
pub use folder::{seconds_between, write_whole};
pub use html::{PageError, comparison_page, demo_page, page, sweep_page};
pub use json::{
    CHECKPOINT, ClockReport, ConnectorReport, Counts, DebeziumReport, Environment, EventsByType,
    Host, Incident, KafkaReport, LOAD_PAUSED, PathNames, PathReport, PostgresReport, Program,
    RATE_CHANGED, REBALANCE, Report, RoundReport, RunInfo, SCHEMA, StoreReport, Verdict,
    Verification, WARM_UP_CUT, host, program,
};
pub use junit::junit;
pub use likeness::{Unlike, unlike};
pub use markdown::markdown;
pub use recorder::{PathRecording, Recorder, RecorderHandle, RoundRecording};
pub use stored::{Events, LATEST, Stored, StoredError, StoredEvent};
pub use sweep::{KneeReport, PathSweep, SCHEMA as SWEEP_SCHEMA, Step, SweepReport, render_sweep};
pub use terminal::render;
pub use tune::{
    Configuration, Connector, HeadToHead, Measured, Recommended, SCHEMA as TUNE_SCHEMA, Trial,
    TuneReport, render_tune,
};
