//! A reader as a stream, of events or of transactions, for a task that takes them when it has time.

pub(crate) mod events;
pub(crate) mod queue;
mod transactions;

pub use events::Events;
pub use queue::EventBuffer;
pub use transactions::{
    OwnedTransaction, PartLimit, TransactionEvent, TransactionItem, Transactions,
};
