//! Which tables are described in another way than their last delivered change was.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Relation;
use crate::event::{Event, SchemaChange, Transaction};

/// The descriptions that the handler has not been told of.
#[derive(Debug, Default)]
pub(crate) struct SchemaChanges {
    /// By the table's OID, its description as of the last delivered change.
    before: HashMap<u32, Option<Arc<Relation>>>,
}

impl SchemaChanges {
    /// A table is described anew.
    pub(crate) fn described(&mut self, before: Option<Arc<Relation>>, after: &Relation) {
        let is_same = |before: &Arc<Relation>| before.has_shape_of(after);
        if !before.as_ref().is_some_and(is_same) {
            self.before.entry(after.oid).or_insert(before);
        }
    }

    /// The event that comes before a change of this table, if there is one.
    #[inline]
    pub(crate) fn deliver<F>(
        &mut self,
        after: &Arc<Relation>,
        transaction: &Transaction,
        handler: &mut impl FnMut(Event<'_>) -> F,
    ) -> Option<F> {
        if self.before.is_empty() {
            return None;
        }
        let before = self.before.remove(&after.oid)?;
        // Changed, and changed back.
        if before
            .as_ref()
            .is_some_and(|before| before.has_shape_of(after))
        {
            return None;
        }
        Some(handler(Event::Schema(SchemaChange {
            before: before.as_ref(),
            after,
            transaction,
        })))
    }
}
