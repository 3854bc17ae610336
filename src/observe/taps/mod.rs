//! The taps: each reports what it sees, as it comes, into one bounded queue.

pub(super) mod following;
mod kafka;
mod lines;
mod mongo;
pub(super) mod offsets;
mod patience;
mod postgres;
pub(super) mod reading;
pub(super) mod sighting;
pub(super) mod sink;
mod sink_rows;
pub(super) mod source_lines;
pub(super) mod topics;
pub(super) mod wal;
