//! A pipeline that somebody else runs, observed: which changes were where and when, without an id of ours in them.
//!
//! Taps (the WAL, the topics, the group's committed offsets, the sink) report what they see; [`ObservationJoiner`] puts the
//! reports of a change together, and says what is missing, came twice, or was filtered.

mod change;
mod committed;
mod counts;
pub mod diagnosis;
mod event_metrics;
mod joiner;
mod key;
mod missing;
mod operation;
mod recent;
mod sampling;
mod sink_queue;
mod source_lines;
mod stamps;
mod statistics;

pub use change::{CapturedChange, ChangeId, RecordPosition, RecordedChange, SinkChange, StampedBy};
pub use counts::{Filtered, LineCounts, ObservationCounts};
pub use event_metrics::{Consumption, EventMetrics};
pub use joiner::{JoinerConfig, ObservationJoiner, ObservedChange, OtherKeys};
pub use key::{NO_KEY, canonical_key};
pub use missing::{MissingAt, MissingChange};
pub use operation::Operation;
pub use source_lines::{SentChange, SourceLine, SourceLineCounts, SourceLines};
pub use stamps::{ObservedHop, ObservedHops, ObservedStamps};
pub use statistics::ObservedStatistics;
