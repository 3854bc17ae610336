//! Counters and positions of a reader.

use crate::Lsn;

/// Counters and positions of a reader, as of its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Rows of initial copies delivered to the handler.
    pub copied_rows: u64,
    /// Changes delivered to the handler.
    pub changes: u64,
    /// Transactions that ended, including those with no change for the handler.
    pub transactions: u64,
    /// Position after the last transaction that was received completely.
    pub last_lsn: Lsn,
    /// Last position acknowledged to the server.
    pub acknowledged: Lsn,
    /// Streams opened after the first.
    pub reconnects: u64,
}
