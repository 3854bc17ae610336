//! The plots of a run and of a comparison, one kind a file.

mod footprint;
mod histogram;
mod marks;
mod observed;
mod over_time;
mod percentiles;
mod rounds;
mod waterfall;

pub(super) use footprint::{TimedFootprint, handles, memory};
pub(super) use histogram::histogram;
pub(super) use marks::{IncidentKind, IncidentMark};
pub(super) use observed::{hop_class, observed_latency, observed_medians, observed_rate};
pub(super) use over_time::{latency_over_time, throughput};
pub(super) use percentiles::{Distribution, percentiles};
pub(super) use rounds::rounds;
pub(super) use waterfall::{Waterfall, waterfall};
