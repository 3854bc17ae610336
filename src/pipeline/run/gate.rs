//! A gate in front of a worker of ours: open, shut for a while, or shut for good.

use std::time::Duration;

use tokio::sync::watch;

use crate::records::{RecordBatch, RecordSource};

/// Between two looks of a thread that waits.
const POLL: Duration = Duration::from_millis(5);

/// What a gate lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateState {
    Open,
    /// Nothing, for the time being.
    Shut,
    /// Nothing any more: the worker ends.
    Ended,
}

/// A gate; its clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Gate(watch::Sender<GateState>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(GateState::Open))
    }
}

impl Gate {
    pub(crate) fn set(&self, state: GateState) {
        self.0.send_replace(state);
    }

    /// Blocks the thread while the gate is shut. False when it is shut for good.
    pub(crate) fn pass_blocking(&self) -> bool {
        loop {
            let state = *self.0.borrow();
            match state {
                GateState::Open => return true,
                GateState::Ended => return false,
                GateState::Shut => std::thread::sleep(POLL),
            }
        }
    }

    /// Waits until the gate is as asked.
    async fn until(&self, is_so: impl FnMut(&GateState) -> bool) {
        let mut states = self.0.subscribe();
        // The sender lives as long as this gate.
        let _ = states.wait_for(is_so).await;
    }
}

/// A source of records behind a gate. A batch that is received while it shuts still comes through.
pub(crate) struct Gated<R> {
    inner: R,
    gate: Gate,
}

impl<R> Gated<R> {
    pub(crate) fn new(inner: R, gate: Gate) -> Self {
        Self { inner, gate }
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: RecordSource> RecordSource for Gated<R> {
    async fn recv(&mut self) -> Option<RecordBatch> {
        loop {
            self.gate.until(|state| *state != GateState::Shut).await;
            tokio::select! {
                biased;
                () = self.gate.until(|state| *state == GateState::Shut) => {}
                batch = self.inner.recv() => return batch,
            }
        }
    }

    fn written(&mut self, partition: i32, offset: i64) {
        self.inner.written(partition, offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Endless;

    impl RecordSource for Endless {
        async fn recv(&mut self) -> Option<RecordBatch> {
            Some(RecordBatch::default())
        }

        fn written(&mut self, _: i32, _: i64) {}
    }

    #[tokio::test]
    async fn a_gate_that_is_shut_lets_nothing_through_until_it_opens() {
        let gate = Gate::default();
        let mut source = Gated::new(Endless, gate.clone());
        assert!(source.recv().await.is_some());
        gate.set(GateState::Shut);
        let waited = tokio::time::timeout(Duration::from_millis(50), source.recv()).await;
        assert!(waited.is_err());
        let opened = gate.clone();
        let opener = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            opened.set(GateState::Open);
        });
        assert!(source.recv().await.is_some());
        opener.await.unwrap();
    }

    #[test]
    fn a_thread_waits_at_a_shut_gate_and_ends_at_one_that_is_shut_for_good() {
        let gate = Gate::default();
        assert!(gate.pass_blocking());
        gate.set(GateState::Shut);
        let other = gate.clone();
        let thread = std::thread::spawn(move || other.pass_blocking());
        std::thread::sleep(Duration::from_millis(30));
        assert!(!thread.is_finished());
        gate.set(GateState::Ended);
        assert!(!thread.join().unwrap());
    }
}
