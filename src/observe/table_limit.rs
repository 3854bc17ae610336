//! How many tables have figures of their own.

/// Tables that have quantiles of their own; each takes some megabytes.
pub(super) const TABLES: usize = 16;
/// Where the changes of all further tables are counted.
pub(super) const OTHER_TABLES: &str = "(others)";
