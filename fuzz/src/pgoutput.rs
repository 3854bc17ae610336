//! The decoder.

use std::hint::black_box;

use cdc_bench::wal::pgoutput::{Message, OldTuple, Tuple, Value, decode};

use super::most_memory;

#[path = "../../src/wal/pgoutput/encode.rs"]
mod encode;

/// The most that a byte of a message may cost: a column that is null takes one byte, and is a `Value`.
const MEMORY_PER_BYTE: usize = size_of::<Value<'static>>();

/// Decodes without a panic, in memory that the message accounts for; and what was decoded is what encoding it gives.
///
/// # Panics
/// When that does not hold.
pub fn holds(bytes: &[u8]) {
    let memory = most_memory(|| drop(black_box(decode(bytes))));
    assert!(
        memory <= bytes.len() * MEMORY_PER_BYTE,
        "{memory} bytes of memory for a message of {}",
        bytes.len()
    );
    match decode(bytes) {
        Ok(message) => {
            let again = encode::encode(&message);
            assert_eq!(again.len(), bytes.len());
            assert_eq!(decode(&again), Ok(message));
        }
        Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
    }
}
