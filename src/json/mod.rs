//! A JSON reader for the one path that every event takes: the envelope and its payload, from a record's bytes to BSON.
//!
//! Why not serde_json, which reads all other JSON of this program: it parses into structs or a tree, and the consumer needs
//! neither. This reader
//! - resolves strings directly into the BSON document, with no `String` in between,
//! - reads the payload, which is JSON in a JSON string, where it is, without resolving the outer string first,
//! - compares text with that of the previous event (`Expected`) instead of reading names and constant values again,
//! - skips what is not used eight bytes at a time.
//!
//! With it the whole consumer stage, from record to write, takes 0.5 to 0.8 times what serde_json takes for parsing alone,
//! into structs that borrow, and 0.3 allocations an event (README, "cargo bench --bench processing").
//!
//! It accepts exactly what serde_json accepts, with the same values: property tests in this module and in
//! [`crate::store`] compare the two, and so do the fuzz targets in `fuzz/`, whose corpus `tests/fuzz_corpus.rs` replays. The
//! code has no `unsafe`.

mod escape_level;
mod expected;
mod reader;
mod text;

#[cfg(test)]
pub(crate) use escape_level::TopLevel;
pub(crate) use escape_level::{EscapeLevel, InString};
pub(crate) use expected::Expected;
pub(crate) use reader::{JsonReader, NotJson, Number};
pub use text::TextBuffer;
