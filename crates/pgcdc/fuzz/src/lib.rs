//! What must hold for any bytes: a value or an error, never a panic, and never more memory than the bytes account for.
//!
//! The targets look for bytes that break it; tests/fuzz_corpus.rs holds it against those that were found before.

pub mod pgoutput;
pub mod values;

/// Bytes of the heap that `work` had at once, at most, beyond what was there before it.
pub fn most_memory(work: impl FnOnce()) -> usize {
    let used = allocation_counter::measure(work);
    usize::try_from(used.bytes_max).unwrap_or(usize::MAX)
}
