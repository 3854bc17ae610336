//! JSON read in order and without a copy, for the path that every event takes.
//!
//! serde_json is what everything else reads with, and the measure in the tests. Here it would find every key by comparing
//! it with a list, and resolve escapes in a buffer that grows anew with every document.

mod expected;
mod reader;
mod spelling;
mod text;

pub(crate) use expected::Expected;
pub(crate) use reader::{NotJson, Number, Reader};
#[cfg(test)]
pub(crate) use spelling::Plain;
pub(crate) use spelling::{Escaped, Spelling};
pub use text::TextBuffer;
