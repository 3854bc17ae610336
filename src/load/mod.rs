//! The open-loop load: rows go out when the schedule says so, whether or not the system keeps up.
//!
//! One thread of its own paces ([`Rate`], [`Schedule`]), another sends over a few connections ([`run_load`]). Where all
//! of them are full the schedule goes on: the rows are late, their scheduled time `ts` stays what it was, and `t0` says
//! when they were really sent. How late they were is reported, so coordinated omission cannot hide.

mod connection;
mod copy;
mod inserter;
mod line;
mod pace;
mod pacer;
mod profile;
mod rate;

pub use inserter::{Limit, LoadError, LoadObserver, LoadPlan, LoadSummary, run_load};
pub use pace::{Change, Pace, Steering};
pub use profile::LoadProfile;
pub use rate::{ParseRateError, Rate, Schedule};
