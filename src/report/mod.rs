//! A result: its schema, its files and how it reads on a terminal.

mod events;
mod folder;
mod json;
mod terminal;

pub use events::EventLine;
pub use folder::{Recorder, RecorderError, RecorderHandle, Recording, ResultFolder};
pub(crate) use folder::{seconds_between, write_whole};
pub use json::{
    ClockReport, ConnectorReport, Counts, DebeziumReport, Environment, EventsByType, Host,
    KafkaReport, PathReport, PostgresReport, Program, Report, RunInfo, SCHEMA, StoreReport,
    Verdict, Verification, host, program,
};
pub use terminal::render;
