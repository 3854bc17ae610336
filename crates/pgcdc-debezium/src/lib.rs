//! Changes of `pgcdc` as Debezium's events: what its JsonConverter writes without schemas, so that Debezium's consumers read
//! them.
//!
//! [`Envelopes`] writes keys and values of records; [`write_flat`] writes a change as one line of plain JSON.
//!
//! # Differences from Debezium
//!
//! Types that Debezium leaves out (composites, multiranges, geometry other than points, and arrays of those) are left out.
//! Where Debezium writes something that is not the value, this crate writes the value:
//!
//! | type | Debezium 3.6 writes | this crate writes |
//! | --- | --- | --- |
//! | `name` | null | the name |
//! | `bit(n)[]` | null | the bits of each element |
//! | a default with a quote in it, for null | the text before the quote | the default |
//! | `int[][]` and other arrays of arrays | null, or a name of a Java object, for each inner array | the inner arrays |
//! | an infinite `date`, or one BC, in an initial copy | another number of days than in its stream | the number of the stream |
//!
//! Where Debezium writes something surprising that consumers may rely on, this crate writes the same:
//!
//! - for null, a column's default if that is a constant (`replace.null.with.default` of the converter), and the zero of its
//!   type if the column is `NOT NULL` and the old row does not include it;
//! - bits without leading zeros;
//! - null for `numeric[]` with a NaN in it;
//! - a scale of 2046 for `numeric(5,-2)`;
//! - a number of days without meaning for an infinite `date`;
//! - an overflow for timestamps beyond 64 bits of microseconds.
//!
//! In the record of a transaction's end, tables stand in the order of their first events; Debezium has no order.

// The example of the README is a doctest.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod absent;
mod config;
mod decimal;
mod envelope;
mod error;
mod extension;
mod flat;
mod json;
mod literal;
mod number;
mod source;
mod time;
mod topic;
mod transaction;
mod value;

pub use absent::UNAVAILABLE;
pub use config::EnvelopeConfig;
pub use envelope::{Envelopes, Record};
pub use error::EnvelopeError;
pub use flat::{write_flat, write_flat_message};
pub use number::Decimals;
pub use topic::topic_name;
