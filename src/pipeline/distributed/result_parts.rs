//! A worker's result as records of the control topic: compressed, and in parts that every broker takes.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cdc_bench_model::report::PathRecording;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use crate::pipeline::distributed::control_record::ResultPart;
use crate::pipeline::failure::Failure;

/// Bytes of a part; a broker takes a megabyte unless it is told otherwise, and base64 adds a third.
const PART_BYTES: usize = 512 * 1024;

/// What a worker has measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerResult {
    pub(crate) recordings: Vec<PathRecording>,
}

impl WorkerResult {
    /// The parts of a worker's result.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn parts(&self, worker: &str) -> Result<Vec<ResultPart>, Failure> {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        serde_json::to_writer(&mut packed, self).map_err(Failure::usage)?;
        packed.flush().map_err(Failure::usage)?;
        let packed = packed.finish().map_err(Failure::usage)?;
        let chunks = packed.chunks(PART_BYTES);
        let of = chunks.len();
        let part = |(number, data): (usize, &[u8])| ResultPart {
            worker: worker.to_owned(),
            number,
            of,
            data: STANDARD.encode(data),
        };
        Ok(chunks.enumerate().map(part).collect())
    }

    /// Puts the parts together.
    ///
    /// # Errors
    /// When they are not of one result.
    pub(crate) fn read(parts: &[ResultPart]) -> Result<Self, Failure> {
        let mut packed = Vec::new();
        for part in parts {
            let data = STANDARD.decode(&part.data).map_err(Failure::server)?;
            packed.extend(data);
        }
        let mut json = Vec::new();
        DeflateDecoder::new(&packed[..])
            .read_to_end(&mut json)
            .map_err(Failure::server)?;
        serde_json::from_slice(&json).map_err(Failure::server)
    }
}

#[cfg(test)]
mod tests {
    use cdc_bench_model::timeline::CapturePath;

    use super::*;

    #[test]
    fn a_result_is_put_together_from_its_parts() {
        let result = WorkerResult {
            recordings: vec![PathRecording::new(CapturePath::Wal)],
        };
        let parts = result.parts("a").unwrap();
        let read = WorkerResult::read(&parts).unwrap();
        assert_eq!(read.recordings[0].path, CapturePath::Wal);
        assert!(WorkerResult::read(&[]).is_err());
    }
}
