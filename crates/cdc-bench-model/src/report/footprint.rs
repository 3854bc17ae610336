//! Memory, descriptors and threads while events were under way (`footprint` of `report.json`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What this program and the servers that it started took at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// When: RFC 3339, UTC.
    pub at: jiff::Timestamp,
    /// Resident memory of this process, bytes.
    pub resident: u64,
    /// Its open file descriptors.
    pub descriptors: u64,
    /// Its threads.
    pub threads: u64,
    /// Resident memory of each server that this program started, bytes; what a server's processes share counts once. Empty
    /// where the servers are not processes of ours.
    #[serde(default)]
    pub servers: BTreeMap<String, u64>,
}

/// Footprints over the time of a run: a limited number, evenly spread, whatever the run's length.
#[derive(Debug, Clone)]
pub struct FootprintSeries {
    samples: Vec<Footprint>,
    /// One of so many that are offered is kept.
    every: usize,
    offered: usize,
}

impl Default for FootprintSeries {
    fn default() -> Self {
        Self {
            samples: Vec::new(),
            every: 1,
            offered: 0,
        }
    }
}

impl FootprintSeries {
    /// Most that are kept.
    pub const MOST: usize = 240;

    /// Adds one. Beyond [`FootprintSeries::MOST`], every second one is left out, of those to come as well.
    pub fn push(&mut self, sample: Footprint) {
        if self.offered.is_multiple_of(self.every) {
            self.samples.push(sample);
        }
        self.offered += 1;
        if self.samples.len() > Self::MOST {
            let mut place = 0;
            self.samples.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// Those that are kept, in order of time.
    #[must_use]
    pub fn samples(&self) -> &[Footprint] {
        &self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_no_more_samples_than_a_short_one_and_they_are_evenly_spread() {
        for seconds in [1, 239, 240, 241, 1_800, 86_400] {
            let mut series = FootprintSeries::default();
            for second in 0..seconds {
                series.push(Footprint {
                    at: jiff::Timestamp::from_second(second).unwrap(),
                    resident: 1,
                    descriptors: 1,
                    threads: 1,
                    servers: BTreeMap::new(),
                });
            }
            let at: Vec<_> = series.samples().iter().map(|s| s.at.as_second()).collect();
            assert!(at.len() <= FootprintSeries::MOST, "{seconds}");
            assert!(at.len() >= 120 || seconds < 240, "{seconds}: {}", at.len());
            let steps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(
                steps.windows(2).all(|pair| pair[0] == pair[1]),
                "{seconds}: {steps:?}"
            );
        }
    }
}
