//! Counters and positions of a running reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Lsn;
use crate::clock::UnixNanos;
use crate::reader::stats::ReaderStats;

/// Counters and positions of a reader while it runs, from any thread. Clones share their state. The reader writes them after each
/// part that it has read, at most 64 messages: reading them costs it nothing.
#[derive(Debug, Clone, Default)]
pub struct ReaderMetrics(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    received_bytes: AtomicU64,
    changes: AtomicU64,
    transactions: AtomicU64,
    copied_rows: AtomicU64,
    reconnects: AtomicU64,
    spooled_bytes: AtomicU64,
    delivered: AtomicU64,
    acknowledged: AtomicU64,
    wal_end: AtomicU64,
    commit_time: AtomicI64,
}

/// The counters and positions at one moment. Each is exact; they may be of moments that lie some messages apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Bytes of the stream that were received, since the start.
    pub received_bytes: u64,
    /// Changes delivered to the handler.
    pub changes: u64,
    /// Transactions that ended.
    pub transactions: u64,
    /// Rows of initial copies delivered to the handler.
    pub copied_rows: u64,
    /// Streams opened after the first.
    pub reconnects: u64,
    /// Bytes, in memory and files, of transactions that are received while they run.
    pub spooled_bytes: u64,
    /// Everything before this position was delivered.
    pub delivered: Lsn,
    /// Last position acknowledged to the server.
    pub acknowledged: Lsn,
    /// The latest position of the server's WAL that it has told of: with its keepalives, which come at least twice in its
    /// `wal_sender_timeout`, and with each message.
    pub wal_end: Lsn,
    /// Commit time of the last delivered transaction, on PostgreSQL's clock; `None` before the first.
    pub commit_time: Option<UnixNanos>,
}

impl MetricsSnapshot {
    /// Bytes of WAL between what was delivered and the end that the server has told of.
    #[must_use]
    pub fn lag_bytes(&self) -> u64 {
        self.wal_end.0.saturating_sub(self.delivered.0)
    }

    /// Time since the commit of the last delivered transaction while there is WAL to come, and zero when there is none; `None`
    /// before the first. It contains the difference between this machine's clock and PostgreSQL's.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        if self.lag_bytes() == 0 {
            return Some(Duration::ZERO);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let commit = Duration::from_nanos(u64::try_from(self.commit_time?.0).ok()?);
        Some(now.saturating_sub(commit))
    }
}

impl ReaderMetrics {
    /// The counters and positions now.
    #[must_use]
    pub fn get(&self) -> MetricsSnapshot {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let cells = &*self.0;
        let commit_time = cells.commit_time.load(Ordering::Relaxed);
        MetricsSnapshot {
            received_bytes: read(&cells.received_bytes),
            changes: read(&cells.changes),
            transactions: read(&cells.transactions),
            copied_rows: read(&cells.copied_rows),
            reconnects: read(&cells.reconnects),
            spooled_bytes: read(&cells.spooled_bytes),
            delivered: Lsn(read(&cells.delivered)),
            acknowledged: Lsn(read(&cells.acknowledged)),
            wal_end: Lsn(read(&cells.wal_end)),
            commit_time: (commit_time != 0).then_some(UnixNanos(commit_time)),
        }
    }

    /// What was delivered, up to this position.
    pub(crate) fn set_delivered(
        &self,
        stats: &ReaderStats,
        delivered: Lsn,
        commit_time: Option<UnixNanos>,
    ) {
        let cells = &*self.0;
        cells.changes.store(stats.changes, Ordering::Relaxed);
        cells
            .transactions
            .store(stats.transactions, Ordering::Relaxed);
        cells
            .copied_rows
            .store(stats.copied_rows, Ordering::Relaxed);
        cells.reconnects.store(stats.reconnects, Ordering::Relaxed);
        cells.delivered.store(delivered.0, Ordering::Relaxed);
        if let Some(time) = commit_time {
            cells.commit_time.store(time.0, Ordering::Relaxed);
        }
    }

    /// What was received: bytes since the last call, and the end of the WAL.
    pub(crate) fn add_received(&self, bytes: u64, wal_end: Lsn) {
        self.0.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.wal_end.fetch_max(wal_end.0, Ordering::Relaxed);
    }

    pub(crate) fn set_spooled(&self, bytes: u64) {
        self.0.spooled_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_acknowledged(&self, lsn: Lsn) {
        self.0.acknowledged.store(lsn.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_while_there_is_wal_to_come() {
        let metrics = ReaderMetrics::default();
        assert_eq!(metrics.get().lag(), Some(Duration::ZERO));
        metrics.add_received(100, Lsn(50));
        assert_eq!((metrics.get().lag_bytes(), metrics.get().lag()), (50, None));
        let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
        let since = hour_ago.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let commit_time = UnixNanos(i64::try_from(since).unwrap());
        metrics.set_delivered(&ReaderStats::default(), Lsn(20), Some(commit_time));
        let behind = metrics.get();
        assert_eq!(behind.lag_bytes(), 30);
        assert!(behind.lag().unwrap() >= Duration::from_secs(3_600));
        metrics.set_delivered(&ReaderStats::default(), Lsn(60), None);
        assert_eq!(
            (metrics.get().lag_bytes(), metrics.get().lag()),
            (0, Some(Duration::ZERO))
        );
        // The end of the WAL never goes back.
        metrics.add_received(1, Lsn(40));
        assert_eq!(
            (metrics.get().wal_end, metrics.get().received_bytes),
            (Lsn(50), 101)
        );
    }
}
