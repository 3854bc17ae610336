//! A pipeline that others run, observed without a row, a group or a commit of ours in it.
//!
//! | module | what it is |
//! | --- | --- |
//! | `discovery` | connector, tables, topics, group and sink, as far as the servers tell |
//! | `plan` | what was found, and what would be tapped with which rights |
//! | `publication` | the only thing that is made, and only if the user says so |
//! | `canary` | changes of our own, only if the user says so, whose sending is known |
//! | `application` | what the application says of its statements |
//! | `taps` | WAL, topics, offsets, sink: what each sees |
//! | `records` | records as connectors write them |
//! | `clocks`, `sink_clock`, `line_clock`, `clock_report` | the offsets of the servers' clocks, of the sink's, and of a program that writes lines |
//! | `evidence` | how the pipeline's parts work, and what looking costs |
//! | `period`, `result` | a report's time, its files, and the folders of earlier ones |
//! | `liveness` | whether the servers answer, also while nothing is to be seen |
//! | `service` | lags, the taps' health, metrics and the live figures |
//! | `watch` | what the taps see, joined |
//! | `observation` | all of it, from the beginning to the result |

mod application;
mod canary;
mod clock_report;
mod clocks;
mod discovery;
mod evidence;
mod first_incident;
mod json_lines;
mod line_clock;
mod lines_source;
mod liveness;
mod observation;
mod outcome;
mod period;
mod plan;
mod progress;
mod publication;
pub mod records;
mod request;
mod result;
mod service;
mod sink_clock;
mod sink_incidents;
mod table_limit;
mod taps;
mod watch;

pub use discovery::{Pipeline, discover};
pub use evidence::{MetricsAddress, MetricsAddressError};
pub use lines_source::LinesSource;
pub use observation::{Observation, observe};
pub use plan::plan;
pub use progress::ObserveProgress;
pub use request::{
    CanaryTarget, CollectionOf, GroupChoice, LatencyObjective, ObserveRequest, PipelineRequest,
    PostgresSinkRequest, ReportPeriods, SinkChoice, SinkKeyOf, SinkPublication, TopicOf,
};
pub use service::ObservedMetrics;
