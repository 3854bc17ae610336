//! A pipeline that others run, observed without a row, a group or a commit of ours in it.
//!
//! | module | what it is |
//! | --- | --- |
//! | `discovery` | connector, tables, topics, group and sink, as far as the servers tell |
//! | `plan` | what was found, and what would be tapped with which rights |
//! | `publication` | the only thing that is made, and only if the user says so |
//! | `canary` | changes of our own, only if the user says so, whose sending is known |
//! | `taps` | WAL, topics, offsets, sink: what each sees |
//! | `records` | records as connectors write them |
//! | `clocks`, `sink_clock` | the offsets of the servers' clocks, and of the sink's |
//! | `evidence` | how the pipeline's parts work, and what looking costs |
//! | `observation` | the taps' sightings joined, from the beginning to the result |

mod canary;
mod clocks;
mod discovery;
mod evidence;
mod json_lines;
mod lines_source;
mod observation;
mod outcome;
mod plan;
mod publication;
pub mod records;
mod request;
mod sink_clock;
mod sink_incidents;
mod taps;

pub use discovery::{Pipeline, discover};
pub use evidence::{MetricsAddress, MetricsAddressError};
pub use lines_source::LinesSource;
pub use observation::{Observation, observe};
pub use plan::plan;
pub use request::{
    CanaryTarget, CollectionOf, GroupChoice, LatencyObjective, ObserveRequest, PipelineRequest,
    SinkChoice,
};
