//! Changes of `pgcdc` as Debezium's events: what its JsonConverter writes without schemas, so that Debezium's consumers read
//! them.
//!
//! [`Envelopes`] writes keys and values of records; [`write_flat`] writes a change as one line of plain JSON.
//!
//! # Differences from Debezium
//!
//! Composites, multiranges, built-in geometry other than points, and arrays of those, of intervals, of `money` and of points are
//! left out, as Debezium leaves them out. Where Debezium writes something that is not the value, or nothing, this crate writes
//! the value:
//!
//! | type | Debezium 3.6 writes | this crate writes |
//! | --- | --- | --- |
//! | `name` | null | the name |
//! | `bit(n)[]` | null | the bits of each element |
//! | a default with a quote in it, for null | the text before the quote | the default |
//! | `int[][]` and other arrays of arrays | null, or a name of a Java object, for each inner array | the inner arrays |
//! | an infinite `date`, or one BC, in an initial copy | another number of days than in its stream | the number of the stream |
//! | an array of a domain | nothing | the elements |
//! | a type of an extension, or an array of one, other than `hstore`, `citext`, `ltree`, `isbn`, pgvector's, and PostGIS's `geometry` and `geography` | nothing | the text, with a warning from `pgcdc` |
//! | `vector[]` and `halfvec[]` with a null in it, `sparsevec[]` | null | the elements |
//! | `sparsevec` of more than 32,767 dimensions | nothing: it ends | the vector |
//! | a `vector`, `sparsevec` or `geometry` that did not change and is not sent | null | the placeholder |
//! | `money` of a locale whose symbols it cannot parse, such as `1.234,56 €` | nothing: it ends | the amount |
//! | key, default and `NOT NULL` of a table that was changed after the change | those of now | those of the time, or none |
//! | messages in `data_collections` of a transaction's end | a Java object for each | `LOGICAL_DECODING_MESSAGE` with their number |
//!
//! Where Debezium writes something surprising that consumers may rely on, this crate writes the same:
//!
//! - for null, a column's default if that is a constant (`replace.null.with.default` of the converter), and the zero of its
//!   type if the column is `NOT NULL` and the old row does not include it;
//! - bits without leading zeros;
//! - null for `numeric[]` with a NaN in it;
//! - a scale of 2046 for `numeric(5,-2)`;
//! - a number of days without meaning for an infinite `date`;
//! - an overflow for timestamps beyond 64 bits of microseconds;
//! - the key of a table without a primary key: a unique index, of several a clustered one and then the first by name, none with an
//!   expression; it may be partial, its columns may be null, and columns that it only includes belong to the key;
//! - two decimals for `money` with [`Decimals::Precise`], whatever the locale has
//!   ([`EnvelopeConfig::money_fraction_digits`]);
//! - a `data_collection_order` of 1 for every message;
//! - one topic for tables whose names differ only in what Kafka does not allow.
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
pub use config::{EnvelopeConfig, MessageKey};
pub use envelope::{Envelopes, Record};
pub use error::EnvelopeError;
pub use flat::{write_flat, write_flat_message};
pub use number::Decimals;
pub use topic::topic_name;
