//! The guard of a run's PostgreSQL: of the WAL that its slots hold back there, for the disk that it would fill is the user's, and of a
//! server that answers nothing.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cdc_bench_model::RunId;
use cdc_bench_stack::PostgresEndpoint;
use jiff::Timestamp;

use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;
use crate::pipeline::monitor::guarded_slot::{self, GuardedSlot, mib};
use crate::pipeline::monitor::open_transaction::{OpenTransaction, TransactionOwner};
use crate::pipeline::monitor::postgres_session::PostgresSession;
use crate::pipeline::monitor::silence::SilenceTimer;
use crate::pipeline::monitor::slot_watch::SlotWatch;
pub(crate) use crate::pipeline::monitor::slot_watch::{SlotIncident, SlotTrouble};
use crate::pipeline::monitor::wal_history::{ServerMicros, WalHistory};

/// Interval of its questions.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The server's clock, the end of its WAL, the transactions that are open, and whether its checkpoint waits for the reader of a slot.
const STATE: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint, \
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, \
    pg_snapshot_xmin(snapshot)::text, pg_snapshot_xmin(snapshot) < pg_snapshot_xmax(snapshot), \
    EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'checkpointer' AND wait_event = 'ReplicationSlotDrop') \
    FROM pg_current_snapshot() snapshot";

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
    seen: Mutex<Seen>,
}

/// What the guard has seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// The slots as they were when they were last looked at.
    slots: Vec<GuardedSlot>,
    watch: SlotWatch,
    wal: WalHistory,
    /// The oldest transaction id that is in progress, and since when it is known to be.
    oldest: Option<(String, ServerMicros)>,
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
            seen: Mutex::default(),
        }
    }

    /// Watches a slot that the run uses, also if the run did not make it.
    pub(crate) fn add(&self, slot: &str) {
        if !slot.contains(&self.run) {
            lock(&self.others).insert(slot.to_owned());
        }
    }

    /// What was wrong with slots so far.
    pub(crate) fn incidents(&self) -> Vec<SlotIncident> {
        lock(&self.seen).watch.incidents()
    }

    /// Who reads a slot, and since when it does not; `None` if the slot was not seen.
    pub(crate) fn describe(&self, slot: &str) -> Option<String> {
        let seen = lock(&self.seen);
        let slot = seen.slots.iter().find(|known| known.name == slot)?;
        let reader = seen.watch.describe(slot, Instant::now());
        Some(format!("slot \"{}\": {reader}", slot.name))
    }

    /// Watches until there is a reason for the run to end.
    pub(crate) async fn watch(&self) -> Failure {
        let mut session = PostgresSession::new(self.endpoint);
        let mut silence = SilenceTimer::new("PostgreSQL", self.silence);
        let mut turns = tokio::time::interval(INTERVAL);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            match self.look(&mut session).await {
                Ok(None) => silence.answered(),
                Ok(Some(reason)) => return Failure::server(anyhow::anyhow!(reason)),
                Err(error) => {
                    session.close();
                    if let Some(failure) = silence.unanswered(&self.endpoint.address(), &error) {
                        return failure;
                    }
                }
            }
        }
    }

    /// A failure with the slot that is lost, if one is: the server ends the readers of a slot that it gives up.
    pub(crate) async fn explain(&self, failure: Failure) -> Failure {
        let before = lock(&self.seen).slots.clone();
        let mut session = PostgresSession::new(self.endpoint);
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, self.ask(&mut session)).await;
        if !matches!(asked, Ok(Ok(()))) {
            return failure;
        }
        let seen = lock(&self.seen);
        // A temporary slot goes with its reader.
        let is_gone = |slot: &&GuardedSlot| !seen.slots.iter().any(|now| now.name == slot.name);
        let mut given_up = before.iter().filter(|slot| slot.is_unreserved());
        let lost = seen.slots.iter().find(|slot| slot.is_lost());
        match lost.or_else(|| given_up.find(is_gone)) {
            Some(lost) => Failure::server(anyhow::anyhow!(
                "{}; the run ended with: {failure}",
                self.loss_of(lost)
            )),
            None => failure,
        }
    }

    /// Looks once. A reason for the run to end, if there is one.
    async fn look(&self, session: &mut PostgresSession<'_>) -> Result<Option<String>, String> {
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, self.ask(session)).await;
        asked.unwrap_or_else(|_| Err("no answer in time".to_owned()))?;
        let slots = lock(&self.seen).slots.clone();
        if let Some(lost) = slots.iter().find(|slot| slot.is_lost()) {
            return Ok(Some(self.loss_of(lost)));
        }
        let Some((slot, held, limit)) = slots.iter().find_map(|slot| self.excess_of(slot)) else {
            return Ok(None);
        };
        // Also where that cannot be found out, too much is too much.
        let oldest = self.oldest_transaction(session);
        let oldest = tokio::time::timeout(ANSWER_TIMEOUT, oldest).await;
        let oldest = oldest.unwrap_or_default();
        Ok(Some(self.tell_excess(slot, (held, limit), oldest.as_ref())))
    }

    async fn ask(&self, session: &mut PostgresSession<'_>) -> Result<(), String> {
        let others: Vec<_> = lock(&self.others).iter().cloned().collect();
        let client = session.client().await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&others, &self.run];
        let (slots, state) = tokio::try_join!(
            client.query(guarded_slot::QUESTION, &parameters),
            client.query_one(STATE, &[])
        )
        .map_err(|error| error.to_string())?;
        let (at, end): (ServerMicros, i64) = (state.get(0), state.get(1));
        let (oldest, is_in_progress): (String, bool) = (state.get(2), state.get(3));
        let mut seen = lock(&self.seen);
        seen.slots = slots.iter().map(GuardedSlot::from_row).collect();
        seen.wal.push(at, u64::try_from(end).unwrap_or(0));
        let known = seen.oldest.take().filter(|(known, _)| *known == oldest);
        seen.oldest = is_in_progress.then(|| known.unwrap_or((oldest, at)));
        let Seen { slots, watch, .. } = &mut *seen;
        let now = (Instant::now(), Timestamp::now());
        watch.observe(slots, &self.endpoint.address(), state.get(4), now);
        Ok(())
    }

    /// The oldest transaction that has written something. One that may not be seen is known by its id.
    async fn oldest_transaction(
        &self,
        session: &mut PostgresSession<'_>,
    ) -> Option<OpenTransaction> {
        let visible = match session.client().await {
            Ok(client) => OpenTransaction::oldest(client).await,
            Err(_) => return None,
        };
        let visible = visible
            .inspect_err(|error| tracing::debug!(%error, "open transactions are not known"))
            .ok()
            .flatten();
        let in_progress = lock(&self.seen).oldest.clone();
        let hidden = in_progress.map(|(_, began)| OpenTransaction {
            began,
            owner: TransactionOwner::Hidden {
                from: self.endpoint.user.clone(),
            },
        });
        match (visible, hidden) {
            // Its id is given out after it has begun: one that may be seen is the older one if it is the same.
            (Some(visible), Some(hidden)) if hidden.began < visible.began => Some(hidden),
            (visible, hidden) => visible.or(hidden),
        }
    }

    /// That a slot is lost.
    fn loss_of(&self, slot: &GuardedSlot) -> String {
        let (name, server) = (&slot.name, self.endpoint.address());
        let why = match slot.invalidation.as_deref() {
            Some("idle_timeout") => {
                "the server has given it up because nobody read it for idle_replication_slot_timeout; set a larger one, and see that its \
                 reader stays connected"
            }
            Some("rows_removed") => {
                "the server has removed rows of its catalog that the slot needs, as a conflict with recovery; read from the primary, or set \
                 hot_standby_feedback = on"
            }
            Some("wal_level_insufficient") => {
                "the server it reads from does not write logical WAL any more; set wal_level = logical"
            }
            _ => {
                "the server has removed WAL that was not read yet, as max_slot_wal_keep_size tells it to. Set a larger one, or a lower --rate"
            }
        };
        format!("slot \"{name}\" at {server} is lost, and events with it: {why}")
    }

    /// What a slot holds back, if that is more than the limit.
    fn excess_of<'s>(&self, slot: &'s GuardedSlot) -> Option<(&'s GuardedSlot, u64, u64)> {
        let (limit, held) = (self.limit?, slot.held?);
        (held > limit).then_some((slot, held, limit))
    }

    /// That a slot holds back too much, and what holds it back, as far as that can be told: an open transaction and a reader that does not
    /// confirm are each enough, and the server lets a slot go on only at its record of running transactions.
    fn tell_excess(
        &self,
        slot: &GuardedSlot,
        (held, limit): (u64, u64),
        oldest: Option<&OpenTransaction>,
    ) -> String {
        let seen = lock(&self.seen);
        let (name, server) = (&slot.name, self.endpoint.address());
        let mut reasons = Vec::new();
        if let Some(oldest) = oldest {
            let since = seen.wal.written_since(oldest.began);
            // Half of it, as for the reader: what is less explains less.
            if since.is_none_or(|since| since >= held / 2) {
                let seconds = seen.wal.age(oldest.began) / 1_000_000;
                let since = since.map_or_else(
                    || "since before this run".to_owned(),
                    |since| {
                        format!(
                            "for {seconds} s, in which {} of WAL were written",
                            mib(since)
                        )
                    },
                );
                reasons.push(format!(
                    "a transaction has been open {since}, and holds it back whoever reads it ({})",
                    oldest.owner
                ));
            }
        }
        let unconfirmed = slot.unconfirmed.unwrap_or(held);
        let reader = seen.watch.describe(slot, Instant::now());
        let unsent = slot.unsent.map_or_else(String::new, |unsent| {
            format!(", {} of it not sent to it yet", mib(unsent))
        });
        if unconfirmed >= held / 2 {
            reasons.push(format!(
                "its reader is behind: {} are not confirmed{unsent}; {reader}",
                mib(unconfirmed)
            ));
        } else if reasons.is_empty() {
            reasons.push(format!(
                "its reader has confirmed all but {}, and no transaction has been open for long: PostgreSQL lets a slot go on only every 15 s \
                 or so, and this much is written in that time; allow more",
                mib(unconfirmed)
            ));
        }
        let fate = if name.contains(&self.run) {
            "the run ends, and its slot is dropped"
        } else {
            "the run ends; the slot is not the run's and stays: see that its connector reads it, or drop it"
        };
        format!(
            "slot \"{name}\" holds back {} of WAL at {server}, and {} are allowed (--max-retained-wal); {}; {fate}",
            mib(held),
            mib(limit),
            reasons.join("; and ")
        )
    }
}

#[cfg(test)]
mod tests {
    use pgcdc::Server;

    use super::*;
    use crate::pipeline::monitor::guarded_slot::SlotReader;

    fn server() -> PostgresEndpoint {
        Server::new("127.0.0.1", 5432, "u", "hidden".to_owned(), "activity_db").into()
    }

    fn slot(name: &str, held: u64, unconfirmed: u64) -> GuardedSlot {
        GuardedSlot {
            name: name.to_owned(),
            held: Some(held << 20),
            unconfirmed: Some(unconfirmed << 20),
            status: Some("extended".to_owned()),
            ..GuardedSlot::default()
        }
    }

    fn told(guard: &PostgresGuard<'_>, slot: &GuardedSlot, oldest: Option<ServerMicros>) -> String {
        let oldest = oldest.map(|began| OpenTransaction {
            began,
            owner: TransactionOwner::Prepared {
                gid: "left".to_owned(),
                user: None,
                database: None,
            },
        });
        let (slot, held, limit) = guard.excess_of(slot).unwrap();
        guard.tell_excess(slot, (held, limit), oldest.as_ref())
    }

    #[track_caller]
    fn assert_says(text: &str, parts: &[&str], not: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
        for part in not {
            assert!(!text.contains(part), "not {part}: {text}");
        }
    }

    #[test]
    fn a_slot_that_holds_back_too_much_is_told_with_its_reasons_and_its_fate() {
        let (endpoint, run) = (server(), RunId::generate());
        let guard = PostgresGuard::new(&endpoint, &run, (Some(100 << 20), Duration::MAX));
        // 150 MiB in half a minute, the greater part of it in the last ten seconds.
        for (second, mib) in [(0, 0_u64), (20, 50), (29, 140), (30, 150)] {
            lock(&guard.seen).wal.push(second * 1_000_000, mib << 20);
        }
        let ours = format!("cdc_bench_wal_{}", run.as_identifier());
        assert_eq!(guard.excess_of(&slot(&ours, 100, 100)), None);
        let mut behind = slot(&ours, 150, 140);
        let text = told(&guard, &behind, None);
        let parts = [
            &*ours,
            "150 MiB",
            "100 MiB are",
            "is behind",
            "140 MiB",
            "nobody",
            "is dropped",
        ];
        assert_says(&text, &parts, &["transaction"]);
        behind.reader = Some(SlotReader {
            pid: 7,
            ..SlotReader::default()
        });
        behind.unsent = Some(30 << 20);
        let text = told(&guard, &behind, Some(29_000_000));
        assert_says(
            &text,
            &["30 MiB of it not sent", "process 7"],
            &["transaction", "nobody"],
        );
        let held = told(&guard, &slot("theirs", 150, 2), Some(20_000_000));
        let parts = [
            "open for 10 s",
            "100 MiB of WAL were",
            "'left'",
            "not the run's and stays",
        ];
        assert_says(&held, &parts, &["behind"]);
        let both = told(&guard, &slot("theirs", 150, 150), Some(-1));
        assert_says(&both, &["since before this run", "is behind"], &[]);
        let neither = told(&guard, &slot("theirs", 150, 2), Some(29_999_999));
        assert_says(
            &neither,
            &["all but 2 MiB", "every 15 s", "allow more"],
            &["is behind"],
        );
    }

    #[test]
    fn without_a_limit_a_slot_may_hold_back_whatever_it_does_unless_it_is_lost() {
        let (endpoint, run) = (server(), RunId::generate());
        let guard = PostgresGuard::new(&endpoint, &run, (None, Duration::MAX));
        let mut slot = slot("slot", 1 << 30, 0);
        assert_eq!(guard.excess_of(&slot), None);
        assert!(!slot.is_lost());
        slot.status = Some("lost".to_owned());
        assert!(slot.is_lost());
        let lost = guard.loss_of(&slot);
        assert!(lost.contains("max_slot_wal_keep_size"), "{lost}");
        slot.invalidation = Some("idle_timeout".to_owned());
        let lost = guard.loss_of(&slot);
        assert_says(&lost, &["idle_replication_slot_timeout"], &["--rate"]);
    }
}
