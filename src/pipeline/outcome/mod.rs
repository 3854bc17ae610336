//! The outcome of a run: facts, incidents, the report.

pub(crate) mod environment;
pub(crate) mod facts;
mod faults;
pub(crate) mod incidents;
mod path_report;
pub(crate) mod report;
mod run_findings;
mod stalls;
pub(crate) mod stored_report;
