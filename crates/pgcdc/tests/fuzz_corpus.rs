//! Replays every file of the fuzzers' corpora, without a fuzzer.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

/// Replays each file of a target's corpus.
fn replay(target: &str, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let path = file.path();
        let bytes = std::fs::read(&path).unwrap();
        if std::panic::catch_unwind(|| holds(&bytes)).is_err() {
            panic!("{} fails", path.display());
        }
    }
}

#[test]
fn every_message_of_the_corpus_is_decoded_or_refused() {
    replay("pgoutput", fuzz::pgoutput::holds);
}

#[test]
fn every_value_of_the_corpus_is_taken_or_refused() {
    replay("values", fuzz::values::holds);
}
