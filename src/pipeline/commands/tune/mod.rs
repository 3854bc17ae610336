//! Tuning: compares configurations of Debezium, its producer and our consumer by successive halving, recommends one, and
//! measures what it gains over the defaults.

mod head_to_head;
mod plan;
mod request;
mod space;
mod tuning;

pub use request::{Preference, TuneRequest};
pub use tuning::tune;
