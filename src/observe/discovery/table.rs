//! A table whose changes are followed.

use std::sync::Arc;

/// Columns of the primary key of `pg_class` `c`, as an array of names in the key's order.
pub(super) const KEY_COLUMNS: &str = "coalesce(( \
    SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i \
      CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) \
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
    WHERE i.indrelid = c.oid AND i.indisprimary), '{}')";

/// A table whose changes are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) struct ObservedTable {
    pub(in crate::observe) schema: String,
    pub(in crate::observe) table: String,
    /// `schema.table`.
    pub(in crate::observe) name: Arc<str>,
    /// Columns of its primary key.
    pub(in crate::observe) key: Vec<String>,
}
