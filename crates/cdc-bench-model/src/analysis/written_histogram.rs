//! A histogram as text: what machines that measured parts of one run send to each other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Both sides of a `SignedHistogram` in HdrHistogram's V2 format, base64, and the exact sum of its spans.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct WrittenHistogram {
    /// Empty if no span is below zero.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    negative: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    positive: String,
    sum: String,
}

/// The magnitudes below zero, and the spans above; `None` where there is none.
type Sides = [Option<Histogram<u64>>; 2];

/// What is no histogram.
#[derive(Debug, thiserror::Error)]
#[error("not a histogram in HdrHistogram's V2 format: {0}")]
pub(super) struct NoHistogramError(String);

impl WrittenHistogram {
    /// Of the magnitudes below zero, the spans above, and the sum of all.
    pub(super) fn new(negative: &Histogram<u64>, positive: &Histogram<u64>, sum: i128) -> Self {
        Self {
            negative: written(negative),
            positive: written(positive),
            sum: sum.to_string(),
        }
    }

    /// The two histograms, of a side without spans none, and the sum.
    ///
    /// # Errors
    /// When the text is no histogram.
    pub(super) fn read(&self) -> Result<(Sides, i128), NoHistogramError> {
        let sum = self.sum.parse();
        let sum = sum.map_err(|_| NoHistogramError(format!("sum {:?}", self.sum)))?;
        Ok(([read(&self.negative)?, read(&self.positive)?], sum))
    }
}

fn written(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    if !histogram.is_empty() {
        V2Serializer::new()
            .serialize(histogram, &mut bytes)
            .expect("a histogram of counts is written into memory");
    }
    STANDARD.encode(bytes)
}

fn read(text: &str) -> Result<Option<Histogram<u64>>, NoHistogramError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| NoHistogramError(error.to_string()))?;
    Deserializer::new()
        .deserialize(&mut &bytes[..])
        .map(Some)
        .map_err(|error| NoHistogramError(format!("{error:?}")))
}
