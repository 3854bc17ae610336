//! PostgreSQL: the connector's slot, and what holds it.

use super::evidence::{Holder, LongTransaction, ObservedEvidence, SlotEvidence};
use super::figures::{finding, mebibytes, percent};
use crate::analysis::{Finding, Severity};
use crate::observation::ObservedHop;

/// Bytes of WAL that a slot in step with the load is never behind.
const LAGGING: u64 = 16 << 20;
/// A transaction that is open for longer holds WAL for every slot.
const LONG_S: u64 = 60;

pub(super) fn findings(evidence: &ObservedEvidence) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(slot) = &evidence.slot {
        found.extend(endangered(slot));
        found.extend(inactive(slot));
        found.extend(behind(slot, evidence));
        found.extend(spilled(slot));
    }
    found.extend(evidence.long_transaction.as_ref().and_then(long));
    found
}

fn endangered(slot: &SlotEvidence) -> Option<Finding> {
    let status = slot.wal_status.as_deref()?;
    let name = &slot.name;
    let advice = "raise max_slot_wal_keep_size, and let the connector catch up; a slot that is lost needs a new one and a new snapshot of the tables";
    match status {
        "lost" => Some(finding(
            Some(ObservedHop::Debezium),
            Severity::Critical,
            format!(
                "PostgreSQL has removed WAL that slot \"{name}\" still needs (wal_status = lost): changes are lost to the connector"
            ),
            advice,
        )),
        "unreserved" => Some(finding(
            Some(ObservedHop::Debezium),
            Severity::Critical,
            format!("slot \"{name}\" is about to lose WAL that it needs (wal_status = unreserved)"),
            advice,
        )),
        _ => None,
    }
}

fn inactive(slot: &SlotEvidence) -> Option<Finding> {
    (slot.inactive > 0).then(|| {
        finding(
            Some(ObservedHop::Debezium),
            Severity::Critical,
            format!(
                "nobody read the connector's slot \"{}\" for {} % of the time",
                slot.name,
                percent(slot.inactive, slot.polls)
            ),
            "the connector is paused, failed or starting: see its state, and Connect's log",
        )
    })
}

fn behind(slot: &SlotEvidence, evidence: &ObservedEvidence) -> Option<Finding> {
    if slot.behind_most < LAGGING {
        return None;
    }
    let grows = slot.behind_last > slot.behind_first + LAGGING;
    let has_heartbeat = evidence
        .connector
        .as_ref()
        .is_some_and(|connector| connector.number("heartbeat.interval.ms", 0) > 0);
    let is_idle = evidence.transactions.changes == 0;
    let advice = if is_idle && !has_heartbeat {
        "the observed tables are idle while others are written to, and the connector confirms nothing: set \"heartbeat.interval.ms\", and a \"heartbeat.action.query\" that writes to a published table"
    } else {
        "the connector does not keep up, or confirms seldom (its offsets are flushed every offset.flush.interval.ms): look at the hops debezium and produce; max_slot_wal_keep_size limits what the slot keeps on the disk"
    };
    Some(finding(
        Some(ObservedHop::Debezium),
        if grows {
            Severity::Critical
        } else {
            Severity::Warning
        },
        format!(
            "slot \"{}\" was up to {} MiB of WAL behind{}, and the server kept {} MiB for it",
            slot.name,
            mebibytes(slot.behind_most),
            if grows { " and fell back further" } else { "" },
            mebibytes(slot.retained_most)
        ),
        advice,
    ))
}

fn spilled(slot: &SlotEvidence) -> Option<Finding> {
    let transactions = slot.spilled_transactions.filter(|count| *count > 0)?;
    Some(finding(
        Some(ObservedHop::Debezium),
        Severity::Warning,
        format!(
            "while it decoded for slot \"{}\", PostgreSQL wrote {transactions} transactions to disk and read them again, {} MiB (pg_stat_replication_slots)",
            slot.name,
            mebibytes(slot.spilled_bytes.unwrap_or_default())
        ),
        "raise logical_decoding_work_mem, or commit in smaller transactions",
    ))
}

fn long(transaction: &LongTransaction) -> Option<Finding> {
    let seconds = transaction.open.as_secs();
    if seconds < LONG_S {
        return None;
    }
    let (what, end) = match &transaction.holder {
        Holder::Process(pid) => (
            format!(
                "of process {pid} (user {}, application \"{}\", {})",
                transaction.user, transaction.application, transaction.state
            ),
            format!("SELECT pg_terminate_backend({pid}) ends it"),
        ),
        Holder::Prepared(name) => (
            format!("prepared as '{name}' by {}", transaction.user),
            "COMMIT PREPARED or ROLLBACK PREPARED ends it".to_owned(),
        ),
    };
    Some(finding(
        None,
        Severity::Warning,
        format!(
            "a transaction {what} was open for {seconds} s: no slot lets go of WAL from after its beginning, and no new slot is made meanwhile"
        ),
        format!("let it end; {end}, and idle_in_transaction_session_timeout forbids such ones"),
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture::Case;
    use super::*;

    fn with_slot(slot: SlotEvidence) -> Case {
        let mut case = Case::new();
        case.evidence.slot = Some(SlotEvidence {
            name: "shop".to_owned(),
            polls: 20,
            ..slot
        });
        case
    }

    #[test]
    fn a_slot_that_nobody_reads_or_that_loses_wal_is_named() {
        let slot = |status: &str, inactive| SlotEvidence {
            wal_status: Some(status.to_owned()),
            inactive,
            ..SlotEvidence::default()
        };
        assert!(with_slot(slot("reserved", 0)).findings().is_empty());
        assert!(with_slot(slot("lost", 0)).says("changes are lost"));
        assert!(with_slot(slot("unreserved", 0)).says("about to lose"));
        assert!(with_slot(slot("extended", 5)).says("for 25 % of the time"));
    }

    #[test]
    fn a_slot_behind_is_told_with_what_holds_it() {
        let mut case = with_slot(SlotEvidence {
            behind_first: 1 << 20,
            behind_last: 300 << 20,
            behind_most: 300 << 20,
            retained_most: 320 << 20,
            ..SlotEvidence::default()
        });
        assert!(case.says("300 MiB of WAL behind and fell back further"));
        assert!(case.findings()[0].advice.contains("heartbeat.interval.ms"));
        case.evidence.transactions.changes = 500;
        assert!(!case.findings()[0].advice.contains("heartbeat"));
        let small = SlotEvidence {
            behind_most: 1 << 20,
            ..SlotEvidence::default()
        };
        assert!(with_slot(small).findings().is_empty());
    }

    #[test]
    fn spilling_is_named() {
        let spilled = |transactions| SlotEvidence {
            spilled_transactions: Some(transactions),
            spilled_bytes: Some(211 << 20),
            ..SlotEvidence::default()
        };
        assert!(with_slot(spilled(3)).says("3 transactions to disk"));
        assert!(with_slot(spilled(0)).findings().is_empty());
    }

    #[test]
    fn a_transaction_that_is_open_for_long_is_named_without_its_statement() {
        let mut case = Case::new();
        let mut open = LongTransaction {
            holder: Holder::Process(4_711),
            user: "app".to_owned(),
            application: "batch".to_owned(),
            state: "idle in transaction".to_owned(),
            open: Duration::from_secs(30),
        };
        case.evidence.long_transaction = Some(open.clone());
        assert!(case.findings().is_empty());
        open.open = Duration::from_secs(600);
        case.evidence.long_transaction = Some(open.clone());
        assert!(case.says("process 4711 (user app"));
        open.holder = Holder::Prepared("tx1".to_owned());
        case.evidence.long_transaction = Some(open);
        assert!(case.says("prepared as 'tx1'"));
    }
}
