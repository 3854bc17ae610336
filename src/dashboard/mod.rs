//! A run on a terminal, drawn from its snapshots: it knows no server, and draws another process's run as well as ours.
//!
//! [`draw`] is a function of a snapshot, of what the keys have chosen ([`View`]) and of the colours there are ([`Theme`]);
//! [`Screen`] owns the terminal around it.

mod digits;
mod figures;
mod frame;
mod keys;
mod panels;
mod path;
mod pipeline;
mod screen;
mod theme;

#[cfg(test)]
mod tests;

pub use frame::draw;
pub use keys::{Panel, View};
pub use screen::{Reins, Screen, fits, restore};
pub use theme::Theme;
