//! A run, or an observation, on a terminal, drawn from its snapshots. It needs no server, so it shows the run of another process as well.
//!
//! [`draw`] is a function of a snapshot, of the selection made by keys ([`View`]) and of the colours ([`Theme`]);
//! [`Screen`] owns the terminal.

mod digits;
mod format;
mod frame;
mod keys;
mod observation;
mod panels;
mod path;
mod pipeline;
mod screen;
mod theme;

#[cfg(test)]
mod tests;

pub use frame::draw;
pub use keys::{Panel, View};
pub use screen::{Screen, ScreenControls, fits, restore};
pub use theme::Theme;
