//! How far a reader has delivered the stream, and what a new stream repeats of a transaction that was interrupted.

use crate::event::Transaction;
use crate::{Lsn, ReaderError, Xid};

/// How far a reader has delivered the stream.
#[derive(Debug, Default)]
pub(crate) struct ReplayState {
    /// Resume LSN: nothing after it was delivered.
    resume_lsn: Lsn,
    /// Position after the last transaction received.
    last_end_lsn: Option<Lsn>,
    /// Position after the last transaction of which an event was delivered.
    delivered: Lsn,
    /// The transaction in progress.
    current: Option<OpenTransaction>,
    /// The transaction that was in progress when the stream broke: the server sends it again from its beginning.
    interrupted: Option<OpenTransaction>,
    /// The late one that was delivered last, if it has not committed yet.
    late: Option<LatePrepare>,
}

/// A transaction in progress.
#[derive(Debug)]
pub(crate) struct OpenTransaction {
    pub(crate) transaction: Transaction,
    /// Changes and messages of it that were received on this stream.
    pub(crate) received: u64,
    /// Changes and messages that were delivered before the stream broke, and are not delivered again.
    skip: u64,
    /// Whether its `Begin` was delivered.
    pub(crate) begun: bool,
    /// Whether none of its events is to be delivered.
    pub(crate) filtered: bool,
}

/// Position of a prepared transaction that came after what lies behind it in the WAL: the slot did not decode it when it was
/// prepared, and the server sends it before its `COMMIT PREPARED`. Until that is received, a new stream repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LatePrepare(Lsn);

impl ReplayState {
    /// Starts after this position: everything up to it was delivered by an earlier reader.
    pub(crate) fn start_after(&mut self, lsn: Lsn) {
        self.resume_lsn = lsn;
        self.delivered = lsn;
    }

    /// Nothing after this position was delivered: here a new stream begins.
    pub(crate) fn resume_lsn(&self) -> Lsn {
        self.resume_lsn
    }

    /// Position after the last transaction of which an event was delivered.
    pub(crate) fn delivered(&self) -> Lsn {
        self.delivered
    }

    /// Position after the last transaction received, if there was one.
    pub(crate) fn last_end_lsn(&self) -> Option<Lsn> {
        self.last_end_lsn
    }

    /// The transaction in progress.
    pub(crate) fn current(&mut self) -> Option<&mut OpenTransaction> {
        self.current.as_mut()
    }

    /// Id of the transaction in progress.
    pub(crate) fn xid(&self) -> Option<Xid> {
        self.current.as_ref().map(|open| open.transaction.xid)
    }

    /// The stream broke: the transaction in progress will come again from its beginning.
    pub(crate) fn interrupt(&mut self) {
        if let Some(open) = self.current.take() {
            self.interrupted = Some(open);
        }
    }

    /// A transaction begins.
    ///
    /// # Errors
    /// When a transaction was delivered in part, and another one comes in its place.
    pub(crate) fn begin(&mut self, transaction: Transaction) -> Result<(), ReaderError> {
        let mut open = OpenTransaction {
            transaction,
            received: 0,
            skip: 0,
            begun: false,
            filtered: false,
        };
        if let Some(interrupted) = self.interrupted.take() {
            let wanted = interrupted.transaction.commit_lsn;
            let found = open.transaction.commit_lsn;
            // An interrupted transaction of which nothing was delivered may be missing.
            if wanted != found && interrupted.begun {
                return Err(ReaderError::Gap { wanted, found });
            }
            if wanted == found {
                // An earlier interruption may have been later in the transaction than this one.
                open.skip = interrupted.received.max(interrupted.skip);
                open.begun = interrupted.begun;
            }
        }
        open.filtered = self.late == Some(LatePrepare(open.transaction.commit_lsn));
        self.current = Some(open);
        Ok(())
    }

    /// The transaction in progress ends; returns it.
    pub(crate) fn end(&mut self, end_lsn: Lsn) -> Option<OpenTransaction> {
        self.resume_lsn = self.resume_lsn.max(end_lsn);
        self.last_end_lsn = self.last_end_lsn.max(Some(end_lsn));
        self.current.take()
    }

    /// The transaction in progress is prepared; returns it if it is to be delivered.
    pub(crate) fn end_prepared(&mut self, end_lsn: Lsn) -> Option<OpenTransaction> {
        let is_late = end_lsn <= self.resume_lsn;
        let open = self.end(end_lsn).filter(|open| !open.filtered)?;
        if is_late {
            self.late = Some(LatePrepare(open.transaction.commit_lsn));
        }
        Some(open)
    }

    /// A prepared transaction has committed or was rolled back. False when that was delivered before the stream broke.
    ///
    /// # Errors
    /// When a transaction was delivered in part, and this comes in its place.
    pub(crate) fn prepared_ends(&mut self, end_lsn: Lsn) -> Result<bool, ReaderError> {
        if let Some(interrupted) = self.interrupted.take_if(|open| open.begun) {
            return Err(ReaderError::Gap {
                wanted: interrupted.transaction.commit_lsn,
                found: end_lsn,
            });
        }
        (self.interrupted, self.late) = (None, None);
        let is_new = end_lsn > self.resume_lsn;
        self.end(end_lsn);
        Ok(is_new)
    }

    /// The end of a transaction, or a message outside of transactions, was delivered.
    pub(crate) fn commit_delivered(&mut self, end_lsn: Lsn) {
        self.delivered = self.delivered.max(end_lsn);
    }

    /// A message outside of transactions came, after everything before it. False when it was delivered before the stream broke.
    pub(crate) fn message(&mut self, lsn: Lsn) -> bool {
        let is_new = lsn > self.resume_lsn;
        self.resume_lsn = self.resume_lsn.max(lsn);
        is_new
    }

    /// Outside of transactions, the server has reached this position. False within a transaction, also an interrupted one.
    pub(crate) fn advance(&mut self, lsn: Lsn) -> bool {
        if self.current.is_some() || self.interrupted.is_some() {
            return false;
        }
        self.resume_lsn = self.resume_lsn.max(lsn);
        true
    }
}

impl OpenTransaction {
    /// Counts an event. Returns its index in the transaction, or `None` when it is not to be delivered.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let index = self.received;
        self.received += 1;
        (!self.filtered && index >= self.skip).then_some(index)
    }

    /// Number of its events. The server may send fewer again than it did before: when a prepared transaction was rolled back
    /// meanwhile.
    pub(crate) fn events(&self) -> u64 {
        self.received.max(self.skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{UnixNanos, Xid};

    fn transaction(commit_lsn: u64) -> Transaction {
        Transaction {
            xid: Xid(7),
            commit_lsn: Lsn(commit_lsn),
            commit_time: UnixNanos(0),
            previous: None,
            origin: None,
            gid: None,
        }
    }

    /// Receives so many events of the transaction in progress; the indices of those to deliver.
    fn receive(state: &mut ReplayState, events: usize) -> Vec<u64> {
        let open = state.current().unwrap();
        open.begun = true;
        (0..events).filter_map(|_| open.next()).collect()
    }

    #[test]
    fn an_interrupted_transaction_continues_after_what_was_delivered() {
        let mut state = ReplayState::default();
        state.begin(transaction(100)).unwrap();
        assert_eq!(receive(&mut state, 3), [0, 1, 2]);
        state.interrupt();
        assert!(!state.advance(Lsn(50)), "it is still to come");
        // Interrupted again, earlier than the first time.
        state.begin(transaction(100)).unwrap();
        assert_eq!(receive(&mut state, 1), [0; 0]);
        state.interrupt();
        state.begin(transaction(100)).unwrap();
        assert_eq!(receive(&mut state, 5), [3, 4]);
        assert_eq!(state.resume_lsn(), Lsn(0));
        assert!(state.end(Lsn(110)).unwrap().begun);
        assert_eq!(state.resume_lsn(), Lsn(110));
    }

    #[test]
    fn a_message_outside_of_transactions_is_delivered_once() {
        let mut state = ReplayState::default();
        assert!(state.message(Lsn(50)));
        state.commit_delivered(Lsn(50));
        state.begin(transaction(100)).unwrap();
        state.interrupt();
        assert!(!state.message(Lsn(50)), "sent again after the stream broke");
        assert!(state.message(Lsn(60)));
        assert_eq!((state.resume_lsn(), state.delivered()), (Lsn(60), Lsn(50)));
    }

    #[test]
    fn a_transaction_prepared_before_the_slot_comes_once_however_often_it_is_sent() {
        let mut state = ReplayState::default();
        state.start_after(Lsn(200));
        let late = || Transaction {
            gid: Some("a".to_owned()),
            ..transaction(100)
        };
        state.begin(late()).unwrap();
        assert_eq!(receive(&mut state, 2), [0, 1]);
        state.interrupt();
        state.begin(late()).unwrap();
        assert_eq!(receive(&mut state, 3), [2]);
        assert_eq!(state.end_prepared(Lsn(110)).unwrap().events(), 3);
        assert_eq!(state.resume_lsn(), Lsn(200), "never back");
        // The stream breaks before the commit.
        state.interrupt();
        state.begin(late()).unwrap();
        assert_eq!(receive(&mut state, 3), [0; 0]);
        assert!(state.end_prepared(Lsn(110)).is_none());
        assert!(state.prepared_ends(Lsn(300)).unwrap());
        assert!(!state.prepared_ends(Lsn(300)).unwrap(), "sent again");
        assert_eq!(state.resume_lsn(), Lsn(300));
    }

    #[test]
    fn a_prepared_transaction_that_was_cut_off_is_not_replaced_by_its_end() {
        let mut state = ReplayState::default();
        state.begin(transaction(100)).unwrap();
        assert_eq!(receive(&mut state, 2), [0, 1]);
        state.interrupt();
        assert!(matches!(
            state.prepared_ends(Lsn(300)),
            Err(ReaderError::Gap {
                wanted: Lsn(100),
                found: Lsn(300)
            })
        ));
        // Rolled back meanwhile, it comes with less.
        state.begin(transaction(400)).unwrap();
        receive(&mut state, 3);
        state.interrupt();
        state.begin(transaction(400)).unwrap();
        assert_eq!(receive(&mut state, 1), [0; 0]);
        assert_eq!(state.end_prepared(Lsn(410)).unwrap().events(), 3);
    }

    #[test]
    fn another_transaction_in_place_of_the_interrupted_one_is_a_gap() {
        let mut state = ReplayState::default();
        state.begin(transaction(100)).unwrap();
        state.interrupt();
        assert!(
            state.begin(transaction(200)).is_ok(),
            "nothing was delivered"
        );
        receive(&mut state, 1);
        state.interrupt();
        assert!(matches!(
            state.begin(transaction(300)),
            Err(ReaderError::Gap {
                wanted: Lsn(200),
                found: Lsn(300)
            })
        ));
    }
}
