//! The taps: each reports what it sees, as it comes, into one bounded queue.

pub(super) mod following;
mod lines;
mod mongo;
pub(super) mod offsets;
pub(super) mod sighting;
pub(super) mod sink;
pub(super) mod source_lines;
pub(super) mod topics;
pub(super) mod wal;
