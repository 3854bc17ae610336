//! `latency.hlog` read back, for the page of an observation and for comparisons: in blocks of time, one after the other, so that
//! memory does not follow the length of the log.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::latency_log::NAME;
use crate::report::StoredError;

/// The changes that were followed to their end in a stretch of time.
#[derive(Debug, Clone, Default)]
pub struct LatencyBlock {
    /// Seconds from the beginning of the observation.
    pub start_s: f64,
    /// Seconds.
    pub length_s: f64,
    /// By hop name, in microseconds.
    pub hops: BTreeMap<String, Histogram<u64>>,
}

/// Hands on the log beside this `report.json` in at most `most` blocks, in the order of time. Whether there is a log.
///
/// # Errors
/// When it is there and cannot be read.
pub(crate) fn read_blocks(
    report: &Path,
    most: u32,
    mut block: impl FnMut(LatencyBlock),
) -> Result<bool, StoredError> {
    let path = report.with_file_name(NAME);
    let failed = |reason: String| StoredError::Read {
        path: path.clone(),
        reason,
    };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error.to_string())),
    };
    let cut = |error: String| failed(format!("{error}; remove the file to do without it"));
    let mut end = 0.0_f64;
    for entry in IntervalLogIterator::new(&text) {
        if let LogEntry::Interval(interval) = entry.map_err(|error| cut(format!("{error:?}")))? {
            let over = interval.start_timestamp() + interval.duration();
            end = end.max(over.as_secs_f64());
        }
    }
    let length = (end / f64::from(most)).max(1.0);
    let mut deserializer = Deserializer::new();
    let mut filling = LatencyBlock::default();
    for entry in IntervalLogIterator::new(&text).flatten() {
        let LogEntry::Interval(interval) = entry else {
            continue;
        };
        let start = interval.start_timestamp().as_secs_f64();
        if start >= filling.start_s + length {
            let next = (start / length).floor() * length;
            let full = std::mem::take(&mut filling);
            filling.start_s = next;
            block(full);
        }
        let over = start + interval.duration().as_secs_f64();
        filling.length_s = filling.length_s.max(over - filling.start_s);
        let encoded = STANDARD
            .decode(interval.encoded_histogram())
            .map_err(|error| cut(error.to_string()))?;
        let histogram: Histogram<u64> = deserializer
            .deserialize(&mut &encoded[..])
            .map_err(|error| cut(error.to_string()))?;
        let tag = interval.tag();
        let hop = tag.as_ref().map_or("total", |tag| tag.as_str()).to_owned();
        match filling.hops.get_mut(&hop) {
            Some(known) => known
                .add(&histogram)
                .map_err(|error| cut(error.to_string()))?,
            None => {
                filling.hops.insert(hop, resizing(&histogram));
            }
        }
    }
    block(filling);
    Ok(true)
}

/// A histogram as it was logged has no room beyond its highest value.
fn resizing(histogram: &Histogram<u64>) -> Histogram<u64> {
    let mut resizing =
        Histogram::new(3).expect("3 significant digits are within HdrHistogram's 0 to 5");
    resizing
        .add(histogram)
        .expect("an auto-resizing histogram takes in any other");
    resizing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::ObservedHops;
    use crate::report::ResultFolder;
    use crate::report::observation::latency_log::LatencyLog;
    use crate::timeline::Nanos;

    #[test]
    fn what_was_logged_is_read_back_in_blocks() {
        let results = tempfile::tempdir().unwrap();
        let folder = ResultFolder::create(results.path(), "o").unwrap();
        let report = folder.file("report.json");
        let read = |most| {
            let mut blocks = Vec::new();
            let any = read_blocks(&report, most, |block| blocks.push(block));
            (any, blocks)
        };
        assert!(!read(10).0.unwrap(), "there is none yet");
        let mut log = LatencyLog::create(&folder).unwrap();
        for ms in 1..=100 {
            let span = Nanos::from_millis(ms);
            let hops = ObservedHops {
                debezium: Some(span),
                total: span,
                capture: span,
                deliver: span,
                ..ObservedHops::default()
            };
            log.record(&hops, 1);
        }
        log.finish().unwrap();
        let (any, blocks) = read(10);
        assert!(any.unwrap());
        let total = &blocks[0].hops["total"];
        assert_eq!((blocks.len(), total.len()), (1, 100));
        assert!(total.value_at_quantile(0.5).abs_diff(50_000) < 100);
        assert_eq!(blocks[0].hops.get("consume"), None);

        std::fs::write(folder.file(NAME), "Tag=total,0.0,1.0,2.0,no histogram\n").unwrap();
        let error = read(10).0.unwrap_err().to_string();
        assert!(
            error.contains(NAME) && error.contains("remove the file"),
            "{error}"
        );
    }
}
