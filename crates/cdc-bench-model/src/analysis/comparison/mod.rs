//! Whether one side is faster than the other, and by how much: a difference per hop and quantile, each with an interval,
//! and one verdict over all.
//!
//! Events of a run are not independent: a pause of a server makes a hundred neighbours slow, and a round as a whole may
//! run on a busier machine than the next. An interval that takes events for independent is many times too narrow. Here
//! whole rounds are drawn again, or whole blocks of time of the only round ([`bootstrap`]), so that what comes together
//! stays together.
//!
//! Every hop and quantile is a chance to be wrong, so the intervals are made simultaneous: all of them hold together with
//! the stated confidence (Bonferroni), and a comparison of a thing with itself calls a difference, anywhere, in one of a
//! hundred cases.

mod bootstrap;
mod compare;
mod difference;
mod sample;
mod terms;

pub use compare::compare;
pub use difference::{Comparison, Difference, DifferenceVerdict, Effect, Outcome};
pub use sample::{COMPARED, Sample};
pub use terms::{Pairing, QUANTILES, Terms};

#[cfg(test)]
mod tests;
