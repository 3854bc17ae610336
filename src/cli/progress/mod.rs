//! Progress on the terminal: a spinner per step and a bar for the load; plain lines where there is no terminal. Everything goes
//! to stderr, so that stdout has results only.

mod load_line;
mod snapshot_line;
mod step_line;
mod terminal;

pub(super) use snapshot_line::SnapshotLine;
pub(crate) use terminal::Terminal;
