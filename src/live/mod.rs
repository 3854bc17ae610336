//! A run as it stands while it goes on: what the dashboard draws, what `monitor` reads, what programs get as JSON.
//!
//! The pipeline makes [`Figures`], several times a second; a [`Board`] holds them with the steps and words around them,
//! as one [`Snapshot`]. Whoever draws or writes that touches no server.

mod board;
mod meter;
mod post;
mod snapshot;

pub use board::Board;
pub use meter::PathMeter;
pub use post::{FRESH, Post, newest, read};
pub use snapshot::{
    Figures, HopState, LoadFigures, Passed, PathState, Phase, Rates, SCHEMA, Second, ServerState,
    Snapshot, TotalState, TypeCount,
};
