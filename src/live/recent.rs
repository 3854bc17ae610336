//! What was recorded a short time ago.

use cdc_bench_model::timeline::{Nanos, Stamp};

/// What was recorded over the last one to two spans of time: the span that is filling, and the one before it.
#[derive(Debug)]
pub(super) struct Recent<T> {
    span: Nanos,
    began: Option<Stamp>,
    pub(super) filling: T,
    pub(super) before: T,
}

impl<T: Default> Recent<T> {
    pub(super) fn new(span: Nanos) -> Self {
        Self {
            span,
            began: None,
            filling: T::default(),
            before: T::default(),
        }
    }

    /// Starts a new span when the current one is over.
    pub(super) fn turn(&mut self, now: Stamp) {
        let began = *self.began.get_or_insert(now);
        let passed = (now - began).0 / self.span.0;
        if passed >= 1 {
            self.before = std::mem::take(&mut self.filling);
            self.began = Some(now);
        }
        if passed >= 2 {
            self.before = T::default();
        }
    }
}
