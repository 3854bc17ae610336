//! Messages in librdkafka's memory, which is freed when no batch refers to them any more.

use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use self_cell::self_cell;

use super::membership::Membership;
use crate::records::{ReceivedRecord, RecordHeader, RecordStorage};
use cdc_bench_model::timeline::{Nanos, Stamp};

/// Messages of a consumer, each with the time it was received at.
pub(super) type Received<'c> = Vec<(BorrowedMessage<'c>, Stamp)>;

self_cell!(
    /// Messages, and the consumer that owns their memory: it is dropped after them.
    pub(super) struct Messages {
        owner: Arc<BaseConsumer<Membership>>,
        #[covariant]
        dependent: Received,
    }
);

impl RecordStorage for Messages {
    fn count(&self) -> usize {
        self.borrow_dependent().len()
    }

    fn record(&self, index: usize) -> ReceivedRecord<'_> {
        let (message, received) = &self.borrow_dependent()[index];
        let topics = self.borrow_owner().context().topics();
        let appended = match message.timestamp() {
            Timestamp::NotAvailable => None,
            // The middle of its millisecond.
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => {
                Some(Stamp(ms * 1_000_000) + Nanos(500_000))
            }
        };
        ReceivedRecord {
            value: message.payload(),
            partition: topics.number(message.topic(), message.partition()),
            offset: message.offset(),
            appended,
            received: *received,
        }
    }

    fn key(&self, index: usize) -> Option<&[u8]> {
        self.borrow_dependent()[index].0.key()
    }

    fn headers(&self, index: usize) -> Vec<RecordHeader> {
        let message = &self.borrow_dependent()[index].0;
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        headers
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    }

    fn value(&self, index: usize) -> Option<&[u8]> {
        self.borrow_dependent()[index].0.payload()
    }
}
