//! Findings about the run as a whole: lost events, contradicting stamps, restarts, changes of the load.

use std::collections::{BTreeMap, BTreeSet};

use cdc_bench_model::analysis::{Finding, Severity, SignedHistogram, times as in_words};
use cdc_bench_model::report::{EventCounts, WorkerReport};
use cdc_bench_model::timeline::Hop;

use crate::pipeline::outcome::facts::RunFacts;
use crate::pipeline::outcome::incidents;

/// Findings about the run that are not about a hop.
pub(super) fn run_findings(facts: &RunFacts<'_>, counts: &EventCounts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |evidence: String, advice: &str| {
        findings.push(Finding::new(None, Severity::Critical, evidence, advice));
    };
    if counts.lost > 0 {
        add(
            format!(
                "{} of {} events are not in the store{}",
                counts.lost,
                counts.inserted,
                if facts.paths.iter().all(|path| path.outcome.drained) {
                    ""
                } else {
                    ", and none came any more when the drain ended"
                }
            ),
            "see run.log for what failed; counts say how far they came: captured from the WAL, in Kafka, consumed",
        );
    }
    for worker in facts.workers.iter().filter(|worker| worker.is_gone) {
        let measured = facts.paths.first().map_or(0, |path| {
            path.recording
                .statistics()
                .hop(Hop::Total)
                .map_or(0, SignedHistogram::count)
        });
        add(
            format!(
                "worker {} was not heard of any more: its load ended after {} events or a little more, others wrote what it had not, and what it had measured is gone; the figures are of {measured} of {} events",
                worker.name, worker.inserted, counts.inserted
            ),
            "look at that machine, and at what it wrote to stderr; counts and verification are of all events",
        );
    }
    if counts.lsn_mismatches > 0 {
        add(
            format!(
                "{} events carry another LSN or transaction in Debezium's envelope than in the WAL",
                counts.lsn_mismatches
            ),
            "the joined stamps may belong to different rows: please report this with events.jsonl",
        );
    }
    if counts.negative_hops > 0 {
        add(
            format!(
                "{} spans are below zero by more than the clocks' measured error",
                counts.negative_hops
            ),
            "a clock was stepped in the run, or a stamp is wrong: do not trust the hops between clocks (kafka_delivery, consumer_lag)",
        );
    }
    if !facts.request.observer {
        add(
            "our reader did not look on beside Debezium: T1 is taken to be T2, so that capture holds the whole way to Kafka"
                .to_owned(),
            "leave out --observer off, unless this is to see what looking on costs",
        );
    }
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for (server, _) in &facts.server_restarts {
        *times.entry(server).or_default() += 1;
    }
    for (server, times) in times {
        add(
            format!(
                "{server} ended by itself and was started again {}",
                in_words(times)
            ),
            "the latencies hold these outages; the report's incidents say when",
        );
    }
    let mut told = BTreeSet::new();
    for slot in &facts.slots {
        if told.insert((&slot.slot, slot.trouble)) {
            add(slot.what.clone(), slot.advice);
        }
    }
    for fault in &facts.faults_not_made {
        add(
            format!(
                "the fault {fault} was never made: its moment had not come when the run was over"
            ),
            "choose an earlier moment, or a longer load (--events, --duration)",
        );
    }
    let load_incidents = incidents::load_incidents(&facts.load_changes);
    if !load_incidents.is_empty() {
        let what: Vec<_> = load_incidents
            .into_iter()
            .map(|incident| incident.what)
            .collect();
        findings.push(Finding::new(
            None,
            Severity::Warning,
            what.join("; "),
            "throughput and latencies are of all that together: compare with nothing but runs that were left alone",
        ));
    }
    findings.extend(
        facts
            .workers
            .iter()
            .flat_map(|worker| silences(facts, worker)),
    );
    findings
}

/// Times in which a worker on another machine was not heard of.
fn silences(facts: &RunFacts<'_>, worker: &WorkerReport) -> impl Iterator<Item = Finding> {
    let first = facts.load.first_t0.map(incidents::to_timestamp);
    worker.silences.iter().map(move |silence| {
        let from = first.map(|first| silence.at.duration_since(first).as_secs_f64());
        let from = from.map_or_else(String::new, |from| format!(" from second {from:.1} on"));
        Finding::new(
            None,
            Severity::Warning,
            format!(
                "worker {} was not heard of for {} s{from}: its load may have waited, and its partitions may have gone to others",
                worker.name,
                seconds(silence.took)
            ),
            "it stood still, or was cut off from Kafka: look at that machine and its network",
        )
    })
}

#[allow(clippy::cast_precision_loss)] // a duration for display
fn seconds(micros: i64) -> String {
    format!("{:.1}", micros as f64 / 1e6)
}
