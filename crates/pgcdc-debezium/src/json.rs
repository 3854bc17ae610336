//! Pieces of JSON.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A text that is no value of its column's type. The output that was written for it must be discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Result of writing a value.
pub(super) type WriteResult = Result<(), Malformed>;

/// A string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// A text that is JSON already.
pub(super) fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// An integer.
pub(super) fn number(out: &mut Vec<u8>, number: i64) {
    // Writing into memory does not fail.
    let _ = write!(out, "{number}");
}

/// Bytes, as a string in Base64.
pub(super) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    string(out, &BASE64.encode(bytes));
}
