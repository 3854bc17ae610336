//! The state of a run while it is in progress: for the dashboard, for `monitor`, and as JSON for programs.
//!
//! The pipeline sets [`Figures`] several times a second; a [`RunState`] holds them with the current step and the messages,
//! and gives all of it as one [`Snapshot`]. What shows a snapshot needs no connection to a server.

mod meter;
mod observation;
mod observation_meter;
mod recent;
mod run_state;
mod second;
mod seconds;
mod snapshot;
mod state_file;

pub use meter::PathMeter;
pub use observation::{LagFigures, ObservationFigures, ObservedHopFigures, TapFigures};
pub use observation_meter::ObservationMeter;
pub use run_state::RunState;
pub use second::Second;
pub use snapshot::{
    Figures, HopState, LoadFigures, PathState, Phase, Rates, RecentEvent, SCHEMA, ServerState,
    Snapshot, TotalState, TypeCount,
};
pub use state_file::{FRESH, StateFile, newest, read};
