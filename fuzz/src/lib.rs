//! What must hold for any bytes: the consumer's own JSON reader accepts what serde_json accepts, with the same values, and
//! never panics. What else it refuses is named in each target. A record of somebody else's pipeline is decoded to the same
//! each time, whatever its bytes.
//!
//! The targets look for bytes that break it; tests/fuzz_corpus.rs tries those of the corpus.

pub mod envelopes;
pub mod payloads;
pub mod records;
