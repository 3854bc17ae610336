//! What holds for any bytes holds for every file of the fuzzers' corpora, without a fuzzer.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

/// Tries each file of a target's corpus.
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
fn every_payload_of_the_corpus_is_read_as_serde_json_reads_it() {
    replay("payloads", fuzz::payloads::holds);
}

#[test]
fn every_envelope_of_the_corpus_is_read_as_serde_json_reads_it() {
    replay("envelopes", fuzz::envelopes::holds);
}

#[test]
fn every_record_of_the_corpus_is_decoded_to_the_same_each_time() {
    replay("records", fuzz::records::holds);
}
