//! Objectives: what a run has to reach, and whether it did.

use serde::{Deserialize, Serialize};

use super::{HopStatistics, Throughput};

/// Name of the objective that every document equals its row.
pub const MATCH_PERCENT: &str = "match_percent";

/// The targets of a run. Each has a default and a flag.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// Median of the total, ms, to stay below.
    pub p50_ms: f64,
    /// 95th percentile of the total, ms, to stay below.
    pub p95_ms: f64,
    /// 99th percentile of the total, ms, to stay below.
    pub p99_ms: f64,
    /// Sustained events per second, to exceed; `None` where it is not asked.
    pub throughput_per_s: Option<f64>,
    /// Events per second that are offered; `None` for as many as possible. More cannot be reached, and a schedule is not kept to
    /// the last event: a target beyond 99 % of it is replaced by that.
    pub offered_per_s: Option<f64>,
    /// (processed - errors) / processed, percent, to exceed.
    pub success_percent: f64,
    /// Documents that equal their row, percent, to reach.
    pub match_percent: f64,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            p50_ms: 30.0,
            p95_ms: 100.0,
            p99_ms: 200.0,
            throughput_per_s: Some(100.0),
            offered_per_s: None,
            success_percent: 99.9,
            match_percent: 100.0,
        }
    }
}

/// The figures of a run that objectives are about.
#[derive(Debug, Clone, Copy)]
pub struct RunFigures<'a> {
    /// The total hop; `None` when no event came through.
    pub total: Option<&'a HopStatistics>,
    /// Events per second.
    pub throughput: Throughput,
    /// Percent.
    pub success_percent: f64,
    /// Percent; `None` when the stores were not compared.
    pub match_percent: Option<f64>,
}

/// One objective and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Such as `p95_ms`.
    pub name: String,
    /// Such as `< 100 ms`.
    pub target: String,
    /// In the unit of the target; `null` when it could not be measured.
    pub measured: Option<f64>,
    /// Whether it was met; what could not be measured was not.
    pub met: bool,
}

impl Objective {
    /// What a latency is to stay below, ms; `None` of an objective of another kind.
    #[must_use]
    pub fn limit_ms(&self) -> Option<f64> {
        let number = self.target.strip_prefix("< ")?.strip_suffix(" ms")?;
        number.parse().ok()
    }
}

/// The part of the offered load that is asked of a run at most.
const SHARE_OF_OFFERED: f64 = 0.99;

impl Targets {
    /// The throughput to exceed, and the target in words.
    fn throughput(&self) -> Option<(f64, String)> {
        let asked = self.throughput_per_s?;
        let most = self
            .offered_per_s
            .map(|offered| (offered, offered * SHARE_OF_OFFERED));
        Some(match most {
            Some((offered, most)) if asked > most => (
                most,
                format!("> {most} events/s (99 % of the {offered} that are offered)"),
            ),
            _ => (asked, format!("> {asked} events/s")),
        })
    }

    /// Compares the figures of a run with the targets.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
    pub fn judge(&self, measured: &RunFigures<'_>) -> Vec<Objective> {
        let quantile = |pick: fn(&HopStatistics) -> i64| {
            measured
                .total
                .filter(|t| t.count > 0)
                .map(|t| pick(t) as f64 / 1e3)
        };
        let below = |name: &str, limit: f64, value: Option<f64>| Objective {
            name: name.to_owned(),
            target: format!("< {limit} ms"),
            measured: value,
            met: value.is_some_and(|v| v < limit),
        };
        let mut objectives = vec![
            below("p50_ms", self.p50_ms, quantile(|t| t.p50)),
            below("p95_ms", self.p95_ms, quantile(|t| t.p95)),
            below("p99_ms", self.p99_ms, quantile(|t| t.p99)),
        ];
        objectives.extend(self.throughput().map(|(limit, target)| Objective {
            name: "throughput_per_s".to_owned(),
            target,
            measured: Some(measured.throughput.sustained_per_s),
            met: measured.throughput.sustained_per_s > limit,
        }));
        objectives.push(Objective {
            name: "success_percent".to_owned(),
            target: format!("> {} %", self.success_percent),
            measured: Some(measured.success_percent),
            met: measured.success_percent > self.success_percent,
        });
        objectives.push(Objective {
            name: MATCH_PERCENT.to_owned(),
            target: format!("{} %", self.match_percent),
            measured: measured.match_percent,
            met: measured
                .match_percent
                .is_some_and(|v| v >= self.match_percent),
        });
        objectives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(p50: i64, p95: i64, p99: i64) -> HopStatistics {
        HopStatistics {
            count: 10,
            min: 0,
            mean: p50,
            p50,
            p90: p95,
            p95,
            p99,
            p999: p99,
            max: p99,
            error_bound: Some(0),
        }
    }

    #[test]
    fn each_objective_is_judged_on_its_own() {
        let t = total(29_999, 100_000, 150_000);
        let measured = RunFigures {
            total: Some(&t),
            throughput: Throughput {
                average_per_s: 100.0,
                peak_per_s: 120.0,
                sustained_per_s: 100.0,
            },
            success_percent: 100.0,
            match_percent: Some(99.99),
        };
        let limits: Vec<_> = Targets::default()
            .judge(&measured)
            .iter()
            .map(Objective::limit_ms)
            .collect();
        let latencies = [30.0, 100.0, 200.0].map(Some);
        assert_eq!(limits, [&latencies[..], &[None; 3]].concat());
        let met: Vec<_> = Targets::default()
            .judge(&measured)
            .into_iter()
            .map(|o| (o.name, o.met))
            .collect();
        let expected = [
            ("p50_ms", true),
            ("p95_ms", false),
            ("p99_ms", true),
            ("throughput_per_s", false),
            ("success_percent", true),
            ("match_percent", false),
        ];
        assert_eq!(met, expected.map(|(name, met)| (name.to_owned(), met)));
    }

    #[test]
    fn no_more_throughput_is_asked_than_is_offered() {
        let judged = |asked: f64, offered: Option<f64>, reached: f64| {
            let targets = Targets {
                throughput_per_s: Some(asked),
                offered_per_s: offered,
                ..Targets::default()
            };
            let measured = RunFigures {
                total: None,
                throughput: Throughput {
                    average_per_s: 0.0,
                    peak_per_s: reached,
                    sustained_per_s: reached,
                },
                success_percent: 100.0,
                match_percent: None,
            };
            let objectives = targets.judge(&measured);
            let throughput = &objectives[3];
            (throughput.target.clone(), throughput.met)
        };
        let (target, met) = judged(100.0, Some(100.0), 99.6);
        assert_eq!(target, "> 99 events/s (99 % of the 100 that are offered)");
        assert!(met);
        assert!(!judged(100.0, Some(100.0), 98.0).1);
        assert_eq!(
            judged(100.0, Some(167.0), 150.0),
            ("> 100 events/s".to_owned(), true)
        );
        assert_eq!(
            judged(100.0, None, 99.0),
            ("> 100 events/s".to_owned(), false)
        );
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let measured = RunFigures {
            total: None,
            throughput: Throughput::default(),
            success_percent: 0.0,
            match_percent: None,
        };
        assert!(Targets::default().judge(&measured).iter().all(|o| !o.met));
    }
}
