//! What went on beside the events of a leg: the machine's load, what JVMs compiled, PostgreSQL's checkpoints, how far slots
//! were behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::proc::TICK;
use super::{checkpoints, compilers};
use cdc_bench_model::analysis::CheckpointActivity;
use cdc_bench_stack::Stack;

/// Counters as they stand.
pub(super) struct Reading {
    taken: Instant,
    machine: Option<Machine>,
    compilers: Option<compilers::Reading>,
    checkpoints: Option<CheckpointActivity>,
}

/// Processor time of all cores together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Machine {
    busy: Duration,
    idle: Duration,
}

/// What went on between two readings; sums where there are several.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Circumstances {
    /// How long it was.
    pub(super) span: Duration,
    machine: Option<Machine>,
    /// Processor time of the JVMs' compilers, where they are ours to look into.
    compilers: Option<Duration>,
    /// `None` where the server does not tell.
    pub(super) checkpoints: Option<CheckpointActivity>,
}

impl Reading {
    pub(super) async fn take(stack: &Stack, postgres: &Client) -> Self {
        let stat = std::fs::read_to_string("/proc/stat").ok();
        Self {
            taken: Instant::now(),
            machine: stat.as_deref().and_then(machine),
            compilers: compilers::Reading::take(stack),
            checkpoints: checkpoints::counters(postgres).await,
        }
    }

    pub(super) fn since(&self, earlier: &Self) -> Circumstances {
        let machine = self.machine.zip(earlier.machine);
        let checkpoints = self.checkpoints.zip(earlier.checkpoints);
        let compilers = self.compilers.as_ref().zip(earlier.compilers.as_ref());
        Circumstances {
            span: self.taken - earlier.taken,
            machine: machine.map(|(now, then)| Machine {
                busy: now.busy.saturating_sub(then.busy),
                idle: now.idle.saturating_sub(then.idle),
            }),
            compilers: compilers.map(|(now, then)| now.since(then)),
            checkpoints: checkpoints.map(|(now, then)| CheckpointActivity {
                count: now.count.saturating_sub(then.count),
                took: now.took.saturating_sub(then.took),
            }),
        }
    }
}

impl Circumstances {
    /// Adds those of another leg.
    pub(super) fn add(&mut self, other: &Self) {
        self.span += other.span;
        if let Some(more) = other.machine {
            let sum = self.machine.get_or_insert_default();
            sum.busy += more.busy;
            sum.idle += more.idle;
        }
        if let Some(more) = other.compilers {
            *self.compilers.get_or_insert_default() += more;
        }
        if let Some(more) = other.checkpoints {
            let sum = self.checkpoints.get_or_insert_default();
            sum.count += more.count;
            sum.took += more.took;
        }
    }

    /// The part of the machine's processor time that was not idle, 0 to 1.
    pub(super) fn busy(&self) -> Option<f64> {
        let machine = self.machine?;
        let all = (machine.busy + machine.idle).as_secs_f64();
        (all > 0.0).then(|| machine.busy.as_secs_f64() / all)
    }

    /// Processors that the JVMs' compilers kept busy.
    pub(super) fn compiling_cores(&self) -> Option<f64> {
        let span = self.span.as_secs_f64();
        self.compilers
            .filter(|_| span > 0.0)
            .map(|used| used.as_secs_f64() / span)
    }
}

/// The first line of proc(5)'s `stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine(stat: &str) -> Option<Machine> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u32> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let sum = |places: &[usize]| {
        let ticks: u32 = places.iter().filter_map(|place| fields.get(*place)).sum();
        TICK * ticks
    };
    Some(Machine {
        busy: sum(&[0, 1, 2, 5, 6, 7]),
        idle: sum(&[3, 4]),
    })
}

/// Bytes of WAL that each slot's sender has not sent yet; none where the server does not say.
pub(super) async fn slot_lags(postgres: &Client) -> BTreeMap<String, u64> {
    let asked = asked_slot_lags(postgres).await;
    asked.unwrap_or_else(|error| {
        tracing::debug!(%error, "how far slots are behind is not known");
        BTreeMap::new()
    })
}

/// The same, or why the server does not say.
pub(super) async fn asked_slot_lags(
    postgres: &Client,
) -> Result<BTreeMap<String, u64>, tokio_postgres::Error> {
    let question = "SELECT slot_name::text, greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn), 0)::bigint \
        FROM pg_replication_slots JOIN pg_stat_replication ON pid = active_pid WHERE sent_lsn IS NOT NULL";
    let rows = postgres.query(question, &[]).await?;
    let lag = |row: &tokio_postgres::Row| u64::try_from(row.get::<_, i64>(1)).unwrap_or(0);
    Ok(rows.iter().map(|row| (row.get(0), lag(row))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_idle_and_steal_is_not() {
        let stat = "cpu  100 10 40 800 50 5 5 40 0 0\ncpu0 1 2 3\n";
        let read = machine(stat).unwrap();
        assert_eq!(read.busy, Duration::from_secs(2));
        assert_eq!(read.idle, Duration::from_millis(8_500));
        assert_eq!(machine("intr 5"), None);
        let half = Circumstances {
            machine: Some(Machine {
                busy: TICK,
                idle: TICK,
            }),
            ..Circumstances::default()
        };
        assert_eq!(half.busy(), Some(0.5));
        assert_eq!(Circumstances::default().busy(), None);
    }
}
