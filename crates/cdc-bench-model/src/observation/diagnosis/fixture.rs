//! Synthetic observations for the tests of the rules.

use std::time::Duration;

use super::connector_evidence::ConnectorEvidence;
use super::evidence::ObservedEvidence;
use super::figures::Hops;
use super::rules::findings;
use crate::analysis::Finding;
use crate::observation::{ObservedStamps, ObservedStatistics};
use crate::timeline::{Nanos, Stamp};

/// An observation of a minute.
pub(super) struct Case {
    pub(super) hops: Hops,
    pub(super) evidence: ObservedEvidence,
}

/// Quantiles of changes with these spans of `debezium`, `produce` and `consume`, microseconds.
pub(super) fn hops([debezium, produce, consume]: [i64; 3]) -> Hops {
    let mut statistics = ObservedStatistics::default();
    let at = |us: i64| Stamp(us * 1_000);
    for n in 0..100 {
        let td = debezium + n;
        let stamps = ObservedStamps {
            t0: None,
            tc: at(0),
            t1: at(500),
            td: Some(at(td)),
            t2: at(td + produce),
            t3: at(td + produce + 100),
            tg: Some(at(td + produce + consume)),
            tr: None,
            ts: None,
            t5: None,
        };
        statistics.record(&stamps.hops(), 1);
    }
    statistics.report(|_| Some(Nanos::from_micros(200)))
}

impl Case {
    pub(super) fn new() -> Self {
        Self {
            hops: hops([800, 900, 2_000]),
            evidence: ObservedEvidence {
                connector: Some(ConnectorEvidence {
                    name: "shop".to_owned(),
                    polls: 30,
                    ..ConnectorEvidence::default()
                }),
                duration: Duration::from_secs(60),
                ..ObservedEvidence::default()
            },
        }
    }

    pub(super) fn connector(&mut self) -> &mut ConnectorEvidence {
        self.evidence.connector.get_or_insert_default()
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        let config = &mut self.connector().config;
        config.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        findings(&self.hops, &self.evidence)
    }

    pub(super) fn says(&self, words: &str) -> bool {
        let mut findings = self.findings().into_iter();
        findings.any(|finding| finding.evidence.contains(words))
    }
}
