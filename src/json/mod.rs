//! JSON read in order and without a copy, for the path that every event takes.
//!
//! serde_json is what everything else reads with, and the measure in the tests. Here it would find every key by comparing
//! it with a list, and resolve escapes in a buffer that grows anew with every document.

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
