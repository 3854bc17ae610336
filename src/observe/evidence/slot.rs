//! PostgreSQL: the connector's slot, the oldest open transaction, and our own walsender.

use std::collections::BTreeMap;
use std::time::Duration;

use cdc_bench_model::observation::diagnosis::{Holder, LongTransaction, SlotEvidence};
use tokio_postgres::Client;

use crate::pipeline::processes;

/// Statuses of a slot's WAL, from good to bad.
const STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

/// Looks at the source.
pub(super) struct SourceWatch {
    client: Client,
    version: i32,
    /// The connector's slot, where it is known.
    slot: Option<SlotEvidence>,
    /// Its transactions and bytes that were spilled at the first look.
    spilled_before: Option<(i64, i64)>,
    long: Option<LongTransaction>,
    our_slot: String,
    /// Whether the server's processes are on this host.
    is_local: bool,
    /// Processor time of our walsenders, by their process.
    walsenders: BTreeMap<i32, Duration>,
    decoded: Option<(u64, u64)>,
}

/// What the source has shown.
pub(super) struct SourceSeen {
    pub(super) slot: Option<SlotEvidence>,
    pub(super) long: Option<LongTransaction>,
    pub(super) walsender_cpu: Option<Duration>,
    /// Decoded for us, and spilled meanwhile, bytes.
    pub(super) decoded: Option<(u64, u64)>,
}

impl SourceWatch {
    pub(super) async fn new(
        client: Client,
        slot: Option<String>,
        our_slot: String,
        is_local: bool,
    ) -> Result<Self, tokio_postgres::Error> {
        let version = "SELECT current_setting('server_version_num')::int4";
        Ok(Self {
            version: client.query_one(version, &[]).await?.get(0),
            client,
            slot: slot.map(|name| SlotEvidence {
                name,
                ..SlotEvidence::default()
            }),
            spilled_before: None,
            long: None,
            our_slot,
            is_local,
            walsenders: BTreeMap::new(),
            decoded: None,
        })
    }

    /// Looks. Returns how many statements it took.
    pub(super) async fn look(&mut self) -> Result<u64, tokio_postgres::Error> {
        self.look_at_slots().await?;
        self.look_at_transactions().await?;
        if self.version < 140_000 {
            return Ok(2);
        }
        self.look_at_spilling().await?;
        Ok(3)
    }

    async fn look_at_slots(&mut self) -> Result<(), tokio_postgres::Error> {
        let status = if self.version < 130_000 {
            "NULL::text"
        } else {
            "wal_status"
        };
        let question = format!(
            "SELECT slot_name::text, active_pid, {status}, \
               coalesce(pg_wal_lsn_diff(wal_end, confirmed_flush_lsn), 0)::int8, \
               coalesce(pg_wal_lsn_diff(wal_end, restart_lsn), 0)::int8 \
             FROM pg_replication_slots, (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
               ELSE pg_current_wal_lsn() END AS wal_end) now WHERE slot_name = ANY ($1)"
        );
        let theirs = self.slot.as_ref().map(|slot| slot.name.clone());
        let names: Vec<_> = theirs.into_iter().chain([self.our_slot.clone()]).collect();
        for row in self.client.query(&question, &[&names]).await? {
            let (name, pid): (String, Option<i32>) = (row.get(0), row.get(1));
            if name == self.our_slot {
                self.measure(pid);
                continue;
            }
            let Some(slot) = &mut self.slot else {
                continue;
            };
            let bytes = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
            take(slot, pid.is_some(), row.get(2), bytes(3), bytes(4));
        }
        Ok(())
    }

    fn measure(&mut self, pid: Option<i32>) {
        let Some(pid) = pid.filter(|_| self.is_local) else {
            return;
        };
        // A server behind a forwarded port has other processes than this host's.
        let mut threads = processes::threads(pid.unsigned_abs());
        if let Some(thread) = threads.find(|thread| thread.name.starts_with("postgres")) {
            self.walsenders.insert(pid, thread.used);
        }
    }

    async fn look_at_transactions(&mut self) -> Result<(), tokio_postgres::Error> {
        // Those that have written hold back slots. Of other roles' sessions one without pg_read_all_stats sees no time.
        let question = "SELECT * FROM ( \
             SELECT pid, NULL::text, usename::text, application_name, state, extract(epoch FROM now() - xact_start)::float8 AS age \
               FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start IS NOT NULL AND pid <> pg_backend_pid() \
             UNION ALL SELECT NULL, gid, owner::text, '', 'prepared', extract(epoch FROM now() - prepared)::float8 \
               FROM pg_prepared_xacts) open ORDER BY age DESC LIMIT 1";
        let Some(row) = self.client.query_opt(question, &[]).await? else {
            return Ok(());
        };
        let holder = match (
            row.get::<_, Option<i32>>(0),
            row.get::<_, Option<String>>(1),
        ) {
            (Some(pid), _) => Holder::Process(pid),
            (None, Some(name)) => Holder::Prepared(name),
            (None, None) => return Ok(()),
        };
        let text = |column: usize| row.get::<_, Option<String>>(column).unwrap_or_default();
        let found = LongTransaction {
            holder,
            user: text(2),
            application: text(3),
            state: text(4),
            open: Duration::try_from_secs_f64(row.get(5)).unwrap_or_default(),
        };
        if self
            .long
            .as_ref()
            .is_none_or(|known| known.open < found.open)
        {
            self.long = Some(found);
        }
        Ok(())
    }

    async fn look_at_spilling(&mut self) -> Result<(), tokio_postgres::Error> {
        let question = "SELECT slot_name::text, spill_txns, spill_bytes, total_bytes FROM pg_stat_replication_slots WHERE slot_name = ANY ($1)";
        let theirs = self.slot.as_ref().map(|slot| slot.name.clone());
        let names: Vec<_> = theirs.into_iter().chain([self.our_slot.clone()]).collect();
        for row in self.client.query(question, &[&names]).await? {
            let name: String = row.get(0);
            let (transactions, bytes): (i64, i64) = (row.get(1), row.get(2));
            let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
            if name == self.our_slot {
                self.decoded = Some((unsigned(row.get(3)), unsigned(bytes)));
            } else if let Some(slot) = &mut self.slot {
                let before = *self.spilled_before.get_or_insert((transactions, bytes));
                slot.spilled_transactions = Some(unsigned(transactions - before.0));
                slot.spilled_bytes = Some(unsigned(bytes - before.1));
            }
        }
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn reconnected(&mut self, client: Client) {
        self.client = client;
    }

    pub(super) fn seen(self) -> SourceSeen {
        let used: Duration = self.walsenders.values().sum();
        SourceSeen {
            slot: self.slot.filter(|slot| slot.polls > 0),
            long: self.long,
            walsender_cpu: (!self.walsenders.is_empty()).then_some(used),
            decoded: self.decoded,
        }
    }
}

fn take(slot: &mut SlotEvidence, is_active: bool, status: Option<String>, behind: u64, kept: u64) {
    if slot.polls == 0 {
        slot.behind_first = behind;
    }
    slot.polls += 1;
    slot.inactive += u64::from(!is_active);
    slot.behind_last = behind;
    slot.behind_most = slot.behind_most.max(behind);
    slot.retained_most = slot.retained_most.max(kept);
    let badness = |status: &Option<String>| {
        let status = status.as_deref()?;
        STATUSES.iter().position(|known| *known == status)
    };
    if badness(&status) > badness(&slot.wal_status) {
        slot.wal_status = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_looks_is_kept() {
        let mut slot = SlotEvidence::default();
        for (is_active, status, behind) in [
            (true, "reserved", 10),
            (false, "unreserved", 900),
            (true, "extended", 300),
        ] {
            take(
                &mut slot,
                is_active,
                Some(status.to_owned()),
                behind,
                behind + 1,
            );
        }
        assert_eq!(slot.wal_status.as_deref(), Some("unreserved"));
        assert_eq!((slot.polls, slot.inactive), (3, 1));
        assert_eq!(
            (slot.behind_first, slot.behind_last, slot.behind_most),
            (10, 300, 900)
        );
        assert_eq!(slot.retained_most, 901);
    }
}
