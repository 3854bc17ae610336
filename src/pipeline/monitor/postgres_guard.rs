//! The guard of a run's PostgreSQL: of the WAL that its slots hold back there, for the disk that it would fill is the user's, and of a
//! server that answers nothing.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_stack::PostgresEndpoint;
use tokio_postgres::Row;

use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;
use crate::pipeline::monitor::postgres_session::PostgresSession;
use crate::pipeline::monitor::silence::SilenceTimer;

/// Interval of its questions.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

const QUESTION: &str = "SELECT slot_name::text, \
    greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint, \
    greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint, \
    wal_status = 'lost' \
    FROM pg_replication_slots WHERE slot_name = ANY($1) OR strpos(slot_name, $2) > 0";

/// Watches the slots of a run, and whether the server answers.
pub(crate) struct PostgresGuard<'a> {
    endpoint: &'a PostgresEndpoint,
    /// In the name of every slot that the run makes.
    run: String,
    /// Most bytes that a slot may hold back; `None`: whatever it holds back.
    limit: Option<u64>,
    /// Longest time that the server may answer nothing.
    silence: Duration,
    /// Slots of others that the run uses.
    others: Mutex<BTreeSet<String>>,
}

/// What the server says of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GuardedSlot {
    name: String,
    /// Bytes of WAL that it holds back; `None` where it has none any more.
    held: Option<u64>,
    /// Bytes of WAL that its reader has not confirmed.
    unconfirmed: Option<u64>,
    is_lost: bool,
}

impl<'a> PostgresGuard<'a> {
    pub(crate) fn new(
        endpoint: &'a PostgresEndpoint,
        run: &RunId,
        (limit, silence): (Option<u64>, Duration),
    ) -> Self {
        Self {
            endpoint,
            run: run.as_identifier(),
            limit,
            silence,
            others: Mutex::default(),
        }
    }

    /// Watches a slot that the run uses, also if the run did not make it.
    pub(crate) fn add(&self, slot: &str) {
        if !slot.contains(&self.run) {
            lock(&self.others).insert(slot.to_owned());
        }
    }

    /// Watches until there is a reason for the run to end.
    pub(crate) async fn watch(&self) -> Failure {
        let mut session = PostgresSession::new(self.endpoint);
        let mut silence = SilenceTimer::new("PostgreSQL", self.silence);
        let mut turns = tokio::time::interval(INTERVAL);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let asked = tokio::time::timeout(ANSWER_TIMEOUT, self.ask(&mut session)).await;
            match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(slots) => {
                    silence.answered();
                    if let Some(reason) = slots.iter().find_map(|slot| self.judge(slot)) {
                        return Failure::server(anyhow::anyhow!(reason));
                    }
                }
                Err(error) => {
                    session.close();
                    if let Some(failure) = silence.unanswered(&self.endpoint.address(), &error) {
                        return failure;
                    }
                }
            }
        }
    }

    async fn ask(&self, session: &mut PostgresSession<'_>) -> Result<Vec<GuardedSlot>, String> {
        let others: Vec<_> = lock(&self.others).iter().cloned().collect();
        let client = session.client().await?;
        let rows = client.query(QUESTION, &[&others, &self.run]).await;
        let rows = rows.map_err(|error| error.to_string())?;
        Ok(rows.iter().map(GuardedSlot::from_row).collect())
    }

    /// Why the run must end because of a slot.
    fn judge(&self, slot: &GuardedSlot) -> Option<String> {
        let (name, server) = (&slot.name, self.endpoint.address());
        if slot.is_lost {
            return Some(format!(
                "slot \"{name}\" at {server} is lost: the server has removed WAL that was not read yet, as max_slot_wal_keep_size \
                 tells it to; events are lost with it. Set a larger one, or a lower --rate"
            ));
        }
        let (limit, held) = (self.limit?, slot.held?);
        if held <= limit {
            return None;
        }
        let why = match slot.unconfirmed {
            Some(unconfirmed) if unconfirmed < held / 2 => format!(
                "its reader has confirmed all but {}: a transaction that is still open holds the slot back \
                 (SELECT pid, xact_start, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start)",
                mib(unconfirmed)
            ),
            _ => "its reader is behind".to_owned(),
        };
        let fate = if name.contains(&self.run) {
            "the run ends, and its slot is dropped"
        } else {
            "the run ends; the slot is not the run's and stays: see that its connector reads it, or drop it"
        };
        Some(format!(
            "slot \"{name}\" holds back {} of WAL at {server}, and {} are allowed (--max-retained-wal); {why}; {fate}",
            mib(held),
            mib(limit)
        ))
    }
}

impl GuardedSlot {
    fn from_row(row: &Row) -> Self {
        let bytes = |column| {
            let bytes: Option<i64> = row.get(column);
            bytes.and_then(|bytes| u64::try_from(bytes).ok())
        };
        let is_lost: Option<bool> = row.get(3);
        Self {
            name: row.get(0),
            held: bytes(1),
            unconfirmed: bytes(2),
            is_lost: is_lost.unwrap_or(false),
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use pgcdc::Server;

    use super::*;

    fn server() -> PostgresEndpoint {
        Server::new("127.0.0.1", 5432, "u", "hidden".to_owned(), "activity_db").into()
    }

    fn slot(name: &str, held: u64, unconfirmed: u64) -> GuardedSlot {
        GuardedSlot {
            name: name.to_owned(),
            held: Some(held << 20),
            unconfirmed: Some(unconfirmed << 20),
            is_lost: false,
        }
    }

    #[test]
    fn a_slot_that_holds_back_too_much_is_told_with_its_reason_and_its_fate() {
        let (endpoint, run) = (server(), RunId::generate());
        let guard = PostgresGuard::new(&endpoint, &run, (Some(100 << 20), Duration::MAX));
        let ours = format!("cdc_bench_wal_{}", run.as_identifier());
        assert_eq!(guard.judge(&slot(&ours, 100, 100)), None);
        let behind = guard.judge(&slot(&ours, 101, 101)).unwrap();
        for part in [&*ours, "101 MiB", "100 MiB are", "is behind", "is dropped"] {
            assert!(behind.contains(part), "{part}: {behind}");
        }
        let waiting = guard.judge(&slot("theirs", 300, 2)).unwrap();
        for part in ["all but 2 MiB", "still open", "not the run's and stays"] {
            assert!(waiting.contains(part), "{part}: {waiting}");
        }
    }

    #[test]
    fn without_a_limit_only_a_lost_slot_ends_the_run() {
        let (endpoint, run) = (server(), RunId::generate());
        let guard = PostgresGuard::new(&endpoint, &run, (None, Duration::MAX));
        let mut slot = slot("slot", 1 << 30, 0);
        assert_eq!(guard.judge(&slot), None);
        slot.is_lost = true;
        slot.held = None;
        let lost = guard.judge(&slot).unwrap();
        assert!(lost.contains("max_slot_wal_keep_size"), "{lost}");
    }
}
