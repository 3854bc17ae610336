//! `dead-letters`: what could not be written, read from its file or its topic, and written again.

mod list;
mod replay;
mod replay_source;
mod stored;

pub use list::{Listed, Place, Summary, list, show};
pub use replay::{ReplayRequest, ReplayTo, Replayed, replay};
pub use stored::{PlacedDeadLetter, Whence};
