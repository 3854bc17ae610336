//! Lines of the application: when it sent its statements.

use serde::{Deserialize, Serialize};

use crate::analysis::HopStatistics;
use crate::observation::SourceLineCounts;

/// What the application has said. The hops that begin with its statements are in the path of the user's changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplicationReport {
    /// Where its lines came from.
    pub source: String,
    /// Its lines, counted.
    pub lines: SourceLineCounts,
    /// Ta - T0: from when a statement was sent until its commit had returned, by the application's clock alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acknowledged: Option<HopStatistics>,
}
