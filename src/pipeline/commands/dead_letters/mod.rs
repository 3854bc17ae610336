//! `dead-letters`: what could not be written, read from its file or its topic, and written again.

mod left;
mod list;
mod replay;
mod replay_source;
mod stored;
mod target;

pub use list::{Listed, Place, Summary, list, show};
pub use replay::{ReplayRequest, Replayed, replay};
pub use stored::{PlacedDeadLetter, Whence};
pub use target::ReplayTo;
