//! Evidence of how the pipeline's parts work, looked at from outside every other second; and what looking costs.
//!
//! | module | what it is |
//! | --- | --- |
//! | `collector` | asks them all until the observation is over |
//! | `slot` | the connector's slot, transactions that hold it, our own walsender |
//! | `connector`, `sink_connector` | state and configuration of the source's connector, and of the sink's |
//! | `sink` | the sink's server: its set, what writes wait for, its load |
//! | `metrics`, `jolokia`, `prometheus` | its metrics, where their address is given |
//! | `members` | the group's members |
//! | `tallies`, `positions` | offsets and transactions, as the taps see them; how late changes come by their place in big ones |
//! | `conclusion` | findings and cost, for the report |

mod attribute;
mod collector;
mod conclusion;
mod connector;
mod jolokia;
mod members;
mod metrics;
mod positions;
mod prometheus;
mod sink;
mod sink_connector;
mod slot;
mod tallies;

pub(super) use collector::{Collected, EvidenceCollector, EvidenceSources};
pub(super) use conclusion::conclude;
pub use metrics::{MetricsAddress, MetricsAddressError};
pub(super) use tallies::{SharedTallies, Tallies};
