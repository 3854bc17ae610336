//! How far every partition had come at a time.

use std::collections::HashMap;

use crate::timeline::Stamp;

/// How far every partition had come at a time.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) at: Stamp,
    /// Number in the WAL of its last change; offset of the last record that the sink had shown.
    pub(super) partitions: HashMap<(usize, i32), (Option<u64>, Option<i64>)>,
}
