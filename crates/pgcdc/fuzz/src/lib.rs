//! Properties that hold for any bytes: a value or an error, never a panic, and memory in proportion to the bytes.
//!
//! The fuzz targets search for a counterexample; tests/fuzz_corpus.rs replays the corpora.

pub mod pgoutput;
pub mod values;

/// Peak heap memory that `work` allocated, bytes.
pub fn most_memory(work: impl FnOnce()) -> usize {
    let used = allocation_counter::measure(work);
    usize::try_from(used.bytes_max).unwrap_or(usize::MAX)
}
