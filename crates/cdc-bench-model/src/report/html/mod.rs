//! `report.html`: a result as one self-contained page. No script, no font, no picture from elsewhere; it follows the
//! reader's light or dark scheme and prints.

mod axis;
mod comparison;
mod demo;
mod error;
mod finding;
mod observation;
mod pictures;
mod plot;
mod resilience;
mod run;
mod sweep;

pub use comparison::comparison_page;
pub use demo::demo_page;
pub use error::PageError;
pub use observation::observation_page;
pub use resilience::resilience_page;
pub use run::page;
pub use sweep::sweep_page;

#[cfg(test)]
mod tests;
