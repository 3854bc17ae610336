//! What an observation took of the servers that it looked at.

use serde::{Deserialize, Serialize};

/// How a figure was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// Measured.
    Measured,
    /// Estimated from other figures.
    Estimated,
}

/// The load of an observation, beside the pipeline's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostReport {
    /// Processor time of our walsender, seconds; `null` where it can neither be measured nor estimated.
    pub walsender_cpu_s: Option<f64>,
    /// Whether that is measured: the server runs on our host.
    pub walsender_cpu: Measured,
    /// Bytes of decoded changes that PostgreSQL has handed to our slot's output; `null` before PostgreSQL 14.
    pub decoded_bytes: Option<u64>,
    /// Bytes of transactions that it wrote to disk while it decoded them for us.
    pub spilled_bytes: Option<u64>,
    /// Bytes of keys, values and headers that we have read from the topics.
    pub topic_bytes: u64,
    /// Small requests a second: offsets, ends of partitions, clocks, evidence.
    pub requests_per_s: f64,
}

impl CostReport {
    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(seconds) = self.walsender_cpu_s {
            let how = match self.walsender_cpu {
                Measured::Measured => "measured",
                Measured::Estimated => "estimated from the bytes decoded",
            };
            parts.push(format!(
                "{seconds:.2} s of a walsender's processor time ({how})"
            ));
        }
        if let Some(bytes) = self.decoded_bytes {
            parts.push(format!("{} of changes decoded", mebibytes(bytes)));
        }
        if let Some(bytes) = self.spilled_bytes.filter(|bytes| *bytes > 0) {
            parts.push(format!("{} of them by way of the disk", mebibytes(bytes)));
        }
        parts.push(format!("{} of records read", mebibytes(self.topic_bytes)));
        parts.push(format!(
            "{:.1} small requests a second",
            self.requests_per_s
        ));
        format!("Looking took {}", parts.join(", "))
    }
}

#[allow(clippy::cast_precision_loss)] // bytes far below 2^53
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_called_one() {
        let mut cost = CostReport {
            walsender_cpu_s: Some(1.25),
            walsender_cpu: Measured::Measured,
            decoded_bytes: Some(3 << 20),
            spilled_bytes: Some(0),
            topic_bytes: 1 << 19,
            requests_per_s: 12.34,
        };
        assert_eq!(
            cost.describe(),
            "Looking took 1.25 s of a walsender's processor time (measured), 3.0 MiB of changes decoded, 0.5 MiB of records read, 12.3 small requests a second"
        );
        cost.walsender_cpu = Measured::Estimated;
        assert!(cost.describe().contains("estimated"));
    }
}
