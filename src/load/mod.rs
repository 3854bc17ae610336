//! The open-loop load: rows are sent when the schedule says so, whether or not the system keeps up.
//!
//! One thread paces the rows ([`Rate`], [`Schedule`]), another sends them over a few connections ([`run_load`]). Where all
//! connections are busy the schedule goes on: the rows are late, their scheduled time `ts` does not change, and `t0` is when
//! they were really sent. Their delay is reported, so coordinated omission is visible.

mod connection;
mod control;
mod copy;
mod error;
mod inserter;
mod observer;
mod pacer;
mod plan;
mod postgres_error;
mod profile;
mod rate;
mod reconnecting;
mod schedule;
mod statements;
mod steered_schedule;
mod summary;

pub use control::{LoadChange, LoadChangeKind, LoadControl};
pub use error::LoadError;
pub use inserter::run_load;
pub use observer::LoadObserver;
pub use plan::{Limit, LoadPlan, LoadShare};
pub use profile::LoadProfile;
pub use rate::{ParseRateError, Rate};
pub use schedule::Schedule;
pub use summary::LoadSummary;
