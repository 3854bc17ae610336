//! What a load reports of each row.

use cdc_bench_model::event::{EventId, OutboxRow};
use cdc_bench_model::timeline::Stamp;

/// Is called for every row that is sent. Called from several tasks at once, on the hot path: keep it short.
pub trait LoadObserver: Send + Sync {
    /// The INSERT is about to be sent: `ts` is when it was scheduled, `t0` is now. Called once a row, even where
    /// the row is sent again after a lost connection; all rows of a transaction have the same `ts` and `t0`.
    fn sending(&self, row: &OutboxRow, ts: Stamp, t0: Stamp);
    /// The row's commit was acknowledged at `ta`.
    fn acknowledged(&self, id: EventId, seq: u64, ta: Stamp);
    /// The row is not in the table, or (only after cancellation) it is unknown whether it is, as `reason` says then.
    fn failed(&self, id: EventId, seq: u64, reason: &str);
}
