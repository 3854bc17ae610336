//! A pipeline that others run, observed without a row, a group or a commit of ours in it.
//!
//! | module | what it is |
//! | --- | --- |
//! | `discovery` | connector, tables, topics, group and sink, as far as the servers tell |
//! | `plan` | what was found, and what would be tapped with which rights |
//! | `taps` | WAL, topics, offsets, sink: what each sees |
//! | `records` | records as connectors write them |
//! | `clocks` | the offsets of the servers' clocks |
//! | `period`, `result` | a report's time, its files, and the folders of earlier ones |
//! | `service` | lags, the taps' health, metrics and the live figures |
//! | `watch` | what the taps see, joined |
//! | `observation` | all of it, from the beginning to the result |

mod clocks;
mod discovery;
mod observation;
mod outcome;
mod period;
mod plan;
mod progress;
pub mod records;
mod request;
mod result;
mod service;
mod table_limit;
mod taps;
mod watch;

pub use discovery::{Pipeline, discover};
pub use observation::{Observation, observe};
pub use plan::plan;
pub use progress::ObserveProgress;
pub use request::{
    CollectionOf, GroupChoice, LatencyObjective, ObserveRequest, PipelineRequest, ReportPeriods,
    SinkChoice,
};
pub use service::ObservedMetrics;
