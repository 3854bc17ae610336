//! The canary's changes that were sent, and when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::timeline::{Nanos, Stamp};

/// Prefix of the canary's messages.
pub(in crate::observe) const MESSAGE_PREFIX: &str = "cdc_bench";

/// Changes that are under way; the oldest are forgotten beyond it.
const MOST: usize = 100_000;

/// What the names of all changes of an observation's canary begin with.
pub(in crate::observe) fn change_names(id: &RunId) -> String {
    format!("{id}-")
}

/// The key of the change of this name.
pub(in crate::observe) fn key_of(name: &str) -> String {
    serde_json::json!({ "id": name }).to_string()
}

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct SentChanges {
    /// When each that is under way was sent, by its number (T0).
    pub(super) under_way: BTreeMap<u64, Stamp>,
    pub(super) acknowledged: SignedHistogram,
    pub(super) refused: u64,
    pub(super) refusal: Option<String>,
}

/// The same, as sender and watch share it.
#[derive(Debug, Clone)]
pub(in crate::observe) struct Sent {
    id: RunId,
    changes: Arc<Mutex<SentChanges>>,
}

impl Sent {
    pub(super) fn new(id: RunId) -> Self {
        Self {
            id,
            changes: Arc::default(),
        }
    }

    pub(super) fn changes(&self) -> MutexGuard<'_, SentChanges> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted until now, without what is under way; the count begins anew.
    pub(super) fn begin_anew(&self) -> SentChanges {
        let mut changes = self.changes();
        let under_way = std::mem::take(&mut changes.under_way);
        std::mem::replace(
            &mut changes,
            SentChanges {
                under_way,
                ..SentChanges::default()
            },
        )
    }

    /// What all names of this observation's changes begin with.
    pub(super) fn prefix(&self) -> String {
        change_names(&self.id)
    }

    /// The name of a change: its row's `id`, or its message's content.
    pub(super) fn name(&self, number: u64) -> String {
        format!("{}{number}", self.prefix())
    }

    /// The number of the change with this key, such as `{"id":"..."}`.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        let key: BTreeMap<String, String> = serde_json::from_str(key).ok()?;
        let name = key.values().next()?;
        name.strip_prefix(&self.prefix())?.parse().ok()
    }

    pub(super) fn begin(&self, number: u64, at: Stamp) {
        let mut changes = self.changes();
        changes.under_way.insert(number, at);
        if changes.under_way.len() > MOST {
            changes.under_way.pop_first();
        }
    }

    pub(super) fn acknowledged(&self, took: Nanos) {
        self.changes().acknowledged.record(took);
    }

    pub(super) fn refused(&self, number: u64, reason: String) {
        let mut changes = self.changes();
        changes.under_way.remove(&number);
        changes.refused += 1;
        changes.refusal = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_known_by_its_key() {
        let sent = Sent::new(RunId::generate());
        assert_eq!(sent.number(&key_of(&sent.name(17))), Some(17));
        let other = Sent::new(RunId::generate());
        assert_eq!(sent.number(&key_of(&other.name(17))), None);
        for foreign in ["{\"id\":\"first\"}", "{\"id\":7}", "{}", "7"] {
            assert_eq!(sent.number(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn what_was_refused_is_not_under_way() {
        let sent = Sent::new(RunId::generate());
        sent.begin(1, Stamp(10));
        sent.begin(2, Stamp(20));
        sent.acknowledged(Nanos(5));
        sent.refused(2, "no".to_owned());
        let changes = sent.changes();
        assert_eq!(changes.acknowledged.count(), 1);
        assert_eq!((changes.under_way.len(), changes.refused), (1, 1));
    }
}
