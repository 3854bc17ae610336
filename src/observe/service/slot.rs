//! The connector's replication slot: how much WAL it holds back, and for how long.

use std::time::Duration;

use cdc_bench_model::timeline::{Clock, Nanos, Stamp};
use cdc_bench_stack::PostgresEndpoint;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::history::PositionHistory;
use crate::pipeline::connect_postgres;

/// Interval between two polls.
const INTERVAL: Duration = Duration::from_secs(5);

/// The slot as it was polled last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotState {
    /// Whether somebody reads from it.
    pub(super) is_active: bool,
    /// WAL that it holds back: from its `restart_lsn` on.
    pub(super) retained_bytes: Option<u64>,
    /// WAL that its reader has not confirmed.
    pub(super) unconfirmed_bytes: Option<u64>,
    /// Since when there is such, to the interval of the polls.
    pub(super) behind: Option<Nanos>,
}

/// Polls a slot until it is dropped.
#[derive(Debug)]
pub(super) struct SlotPoller {
    pub(super) name: String,
    state: watch::Receiver<Option<SlotState>>,
    task: JoinHandle<()>,
}

impl SlotPoller {
    /// Starts to poll. A server that is away, or a slot that is not there, has no state.
    pub(super) fn start(endpoint: PostgresEndpoint, name: String, clock: Clock) -> Self {
        let (sender, state) = watch::channel(None);
        let slot = name.clone();
        let task = tokio::spawn(async move {
            let mut client = None;
            let mut ends = PositionHistory::default();
            loop {
                if client.is_none() {
                    client = connect_postgres(&endpoint).await.ok();
                }
                let polled = match &client {
                    Some(connected) => poll(connected, &slot, &mut ends, clock.now()).await,
                    None => Ok(None),
                };
                let state = polled.unwrap_or_else(|error| {
                    tracing::debug!(%error, slot, "the connector's slot cannot be polled");
                    client = None;
                    None
                });
                if sender.send(state).is_err() {
                    return;
                }
                tokio::time::sleep(INTERVAL).await;
            }
        });
        Self { name, state, task }
    }

    /// The slot as it was polled last.
    pub(super) fn state(&self) -> Option<SlotState> {
        self.state.borrow().clone()
    }
}

impl Drop for SlotPoller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(
    client: &Client,
    slot: &str,
    ends: &mut PositionHistory,
    now: Stamp,
) -> Result<Option<SlotState>, tokio_postgres::Error> {
    let question = "SELECT s.active, (w.at - '0/0'::pg_lsn)::int8, (s.restart_lsn - '0/0'::pg_lsn)::int8, \
           (s.confirmed_flush_lsn - '0/0'::pg_lsn)::int8 \
         FROM pg_replication_slots s, (SELECT CASE WHEN pg_is_in_recovery() \
           THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS at) w \
         WHERE s.slot_name = $1";
    let Some(row) = client.query_opt(question, &[&slot]).await? else {
        return Ok(None);
    };
    let lsn = |column: usize| {
        let lsn: Option<i64> = row.get(column);
        lsn.and_then(|lsn| u64::try_from(lsn).ok())
    };
    let (end, restart, confirmed) = (lsn(1), lsn(2), lsn(3));
    let less = |from: Option<u64>| Some(end?.saturating_sub(from?));
    if let Some(end) = end {
        ends.push(now, end);
    }
    Ok(Some(SlotState {
        is_active: row.get(0),
        retained_bytes: less(restart),
        unconfirmed_bytes: less(confirmed),
        behind: confirmed.map(|confirmed| ends.beyond(confirmed, now)),
    }))
}
