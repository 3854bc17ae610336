//! A pipeline that others run, observed without a row, a group or a commit of ours in it.
//!
//! | module | what it is |
//! | --- | --- |
//! | `discovery` | connector, tables, topics, group and sink, as far as the servers tell |
//! | `plan` | what was found, and what would be tapped with which rights |
//! | `taps` | WAL, topics, offsets, sink: what each sees |
//! | `records` | records as connectors write them |
//! | `clocks`, `sink_clock` | the offsets of the servers' clocks, and of the sink's |
//! | `observation` | the taps' sightings joined, from the beginning to the result |

mod clocks;
mod discovery;
mod lines_source;
mod observation;
mod outcome;
mod plan;
pub mod records;
mod request;
mod sink_clock;
mod sink_incidents;
mod taps;

pub use discovery::{Pipeline, discover};
pub use lines_source::LinesSource;
pub use observation::{Observation, observe};
pub use plan::plan;
pub use request::{
    CollectionOf, GroupChoice, LatencyObjective, ObserveRequest, PipelineRequest, SinkChoice,
};
