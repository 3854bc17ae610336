//! A pipeline that others run, observed: its changes and where they were seen.

mod operation;

pub use operation::Operation;
