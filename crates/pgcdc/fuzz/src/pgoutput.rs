//! The decoder.

use std::hint::black_box;

use pgcdc::pgoutput::{
    Message, OldTuple, PrepareMessage, Tuple, Value, decode, stream_control, streamed,
};

use super::most_memory;

#[path = "../../src/pgoutput/encode.rs"]
mod encode;

/// Decoding does not panic, and takes no more memory than the message; encoding the result and decoding it again gives the
/// same message.
///
/// # Panics
/// When that does not hold.
pub fn holds(bytes: &[u8]) {
    let memory = most_memory(|| drop(black_box(decode(bytes))));
    assert!(
        memory <= bytes.len(),
        "{memory} bytes of memory for a message of {}",
        bytes.len()
    );
    let memory = most_memory(|| drop(black_box((stream_control(bytes), streamed(bytes)))));
    assert_eq!(memory, 0, "of a transaction under way");
    match decode(bytes) {
        Ok(message) => {
            let again = encode::encode(&message);
            assert_eq!(again.len(), bytes.len());
            assert_eq!(decode(&again), Ok(message));
        }
        Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
    }
}
