//! The outcome of a run: facts, incidents, the report.

pub(crate) mod environment;
pub(crate) mod facts;
pub(crate) mod incidents;
pub(crate) mod stored_report;
pub(crate) mod summary;
