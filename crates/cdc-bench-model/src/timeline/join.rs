//! Joins the stamps of one event. They come from the load generator, our WAL reader, our producer (on the paths that
//! use it), and the consumer before and after its write.
//!
//! Only events in flight are held: an event is removed when its last stamp is in, so memory is proportional to the
//! backlog of the pipeline, not to the length of the run.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};

use super::foreign_clocks::CorrectionsCache;
use super::{
    Captured, ConsumerStamps, Corrections, ForeignClocks, InKafka, Joined, Stamp, Stamps, Tally,
};
use crate::event::{EventId, EventType};

/// Shards, each with its own lock; events are assigned to them in turn.
const SHARDS: u64 = 16;

#[derive(Debug, Clone, Copy)]
struct InsertStamps {
    event_type: EventType,
    ts: Stamp,
    t0: Stamp,
}

#[derive(Debug, Default)]
struct Pending {
    sent: Option<InsertStamps>,
    ta: Option<Stamp>,
    captured: Option<Captured>,
    /// T2, from the delivery report of our producer.
    delivered: Option<Stamp>,
    written: Option<ConsumerStamps>,
}

/// Most events of a shard that are tracked, so that a wrong sequence number in a record cannot exhaust memory.
const MOST_EVENTS: u64 = (1 << 33) / SHARDS;

/// A set of events, one bit each.
#[derive(Debug, Default)]
struct SeenSet(Vec<u64>);

impl SeenSet {
    /// Adds an event by its position within its shard; false if it is in the set already.
    fn mark(&mut self, place: u64) -> bool {
        if place >= MOST_EVENTS {
            return true;
        }
        let (word, bit) = (
            usize::try_from(place / 64).unwrap_or(usize::MAX),
            place % 64,
        );
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let fresh = self.0[word] & (1 << bit) == 0;
        self.0[word] |= 1 << bit;
        fresh
    }
}

/// The events of one shard: those in flight, the places each has been seen at, and the counts.
#[derive(Debug, Default)]
struct Shard {
    pending: HashMap<EventId, Pending, BuildHasherDefault<IdHasher>>,
    captured: SeenSet,
    received: SeenSet,
    written: SeenSet,
    tally: Tally,
    clocks: CorrectionsCache,
}

/// Collects the stamps of every event until it is complete. Shared by all threads that take stamps.
#[derive(Debug)]
pub struct Joiner {
    shards: Box<[Mutex<Shard>]>,
    in_kafka: InKafka,
    /// Whether our WAL reader observes the rows.
    is_observed: bool,
    clocks: Arc<ForeignClocks>,
}

impl Joiner {
    /// A joiner without events.
    #[must_use]
    pub fn new(in_kafka: InKafka, clocks: Arc<ForeignClocks>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            in_kafka,
            is_observed: true,
            clocks,
        }
    }

    /// The same without our WAL reader as an observer: T1 is set to T2, so that `capture` covers everything up to
    /// Kafka.
    #[must_use]
    pub fn unobserved(self) -> Self {
        Self {
            is_observed: false,
            ..self
        }
    }

    /// Whether our WAL reader observes the rows.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.is_observed
    }

    /// The INSERT is about to be sent.
    pub fn sending(&self, id: EventId, seq: u64, event_type: EventType, ts: Stamp, t0: Stamp) {
        let mut shard = self.lock_shard(seq);
        let Shard { pending, tally, .. } = &mut *shard;
        let pending = pending.entry(id).or_default();
        // A retry after a lost connection keeps the first T0: the latency an application sees includes the retry.
        if pending.sent.is_none() {
            pending.sent = Some(InsertStamps { event_type, ts, t0 });
            tally.sent += 1;
        }
    }

    /// The INSERT's commit is acknowledged.
    pub fn acknowledged(&self, id: EventId, seq: u64, ta: Stamp) -> Option<Joined> {
        let mut shard = self.lock_shard(seq);
        shard.tally.inserted += 1;
        self.update(shard, id, seq, |pending| pending.ta = Some(ta))
    }

    /// The INSERT was refused: the event is removed.
    pub fn insert_failed(&self, id: EventId, seq: u64) {
        let mut shard = self.lock_shard(seq);
        shard.tally.insert_errors += 1;
        shard.pending.remove(&id);
    }

    /// The event will not be written (a dead letter). False if it is not in flight.
    pub fn abandon(&self, id: EventId) -> bool {
        // A record that cannot be decoded has no sequence number, so all shards are searched.
        let mut shards = self.shards.iter().map(lock);
        shards.any(|mut shard| shard.pending.remove(&id).is_some())
    }

    /// Our reader has the row. A row seen again (the reader reconnected) changes nothing.
    pub fn captured(&self, id: EventId, seq: u64, captured: Captured) -> Option<Joined> {
        let mut shard = self.lock_shard(seq);
        if !shard.captured.mark(seq / SHARDS) {
            return None;
        }
        shard.tally.captured += 1;
        self.update(shard, id, seq, |pending| pending.captured = Some(captured))
    }

    /// Our producer has the delivery report of the record.
    pub fn delivered(&self, id: EventId, seq: u64, t2: Stamp) -> Option<Joined> {
        self.update(self.lock_shard(seq), id, seq, |pending| {
            pending.delivered = Some(t2);
        })
    }

    /// The consumer has received the record. False if it had received it before (a duplicate).
    pub fn consumed(&self, seq: u64) -> bool {
        let mut shard = self.lock_shard(seq);
        let fresh = shard.received.mark(seq / SHARDS);
        if fresh {
            shard.tally.consumed += 1;
        } else {
            shard.tally.duplicates += 1;
        }
        fresh
    }

    /// The store has acknowledged the document. Only the first acknowledgement counts.
    pub fn written(&self, id: EventId, seq: u64, written: ConsumerStamps) -> Option<Joined> {
        let mut shard = self.lock_shard(seq);
        if !shard.written.mark(seq / SHARDS) {
            return None;
        }
        shard.tally.written += 1;
        self.update(shard, id, seq, |pending| pending.written = Some(written))
    }

    /// Bounds the offset of Connect's clock by one event, given its commit time on PostgreSQL's clock.
    pub fn bound_connect(&self, commit: Stamp, written: &ConsumerStamps) {
        let fix = self.clocks.corrections();
        let commit = fix.postgres.to_ours(commit);
        self.bound_connect_by(&fix, commit, self.recorded(&fix, written), written);
    }

    /// The same, given the commit time and the record's time on our clock.
    fn bound_connect_by(
        &self,
        fix: &Corrections,
        commit: Stamp,
        recorded: Option<Stamp>,
        written: &ConsumerStamps,
    ) {
        let Some(reading) = written.td else { return };
        let appended = recorded.filter(|_| self.in_kafka == InKafka::ByBroker);
        self.clocks
            .bound_connect(fix, reading, commit, appended, written.t3);
    }

    /// The record's timestamp on our clock, on paths where T2 is taken from the record.
    fn recorded(&self, fix: &Corrections, written: &ConsumerStamps) -> Option<Stamp> {
        let clock = match self.in_kafka {
            InKafka::ByBroker => &fix.broker,
            InKafka::ByConnect => &fix.connect,
            InKafka::ByProducer | InKafka::Never => return None,
        };
        written.t2.map(|t2| clock.to_ours(t2))
    }

    /// When each event was sent that is under way still: committed, and not written.
    #[must_use]
    pub fn unwritten(&self) -> Vec<Stamp> {
        let shards = self.shards.iter().map(lock);
        let of_shard = |shard: MutexGuard<'_, Shard>| {
            let pending = shard.pending.values();
            let unwritten = pending.filter(|event| event.ta.is_some() && event.written.is_none());
            unwritten
                .filter_map(|event| Some(event.sent?.t0))
                .collect::<Vec<_>>()
        };
        shards.flat_map(of_shard).collect()
    }

    /// The counts so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.shards
            .iter()
            .for_each(|shard| sum.add(&lock(shard).tally));
        sum
    }

    /// The shard of an event, locked.
    fn lock_shard(&self, seq: u64) -> MutexGuard<'_, Shard> {
        let shard = usize::try_from(seq % SHARDS).unwrap_or(0);
        lock(&self.shards[shard])
    }

    /// Updates an event in flight; returns the event once all stamps are in.
    fn update(
        &self,
        mut shard: MutexGuard<'_, Shard>,
        id: EventId,
        seq: u64,
        change: impl FnOnce(&mut Pending),
    ) -> Option<Joined> {
        let Shard {
            pending,
            tally,
            clocks,
            ..
        } = &mut *shard;
        let mut entry = match pending.entry(id) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                // An event is never complete with its first stamp.
                change(entry.insert(Pending::default()));
                return None;
            }
        };
        change(entry.get_mut());
        let event = self.complete(id, seq, entry.get(), tally, clocks);
        if event.is_some() {
            entry.remove();
            if pending.is_empty() && pending.capacity() > 1024 {
                pending.shrink_to(1024);
            }
        }
        event
    }

    /// The event if all stamps are in.
    fn complete(
        &self,
        id: EventId,
        seq: u64,
        pending: &Pending,
        tally: &mut Tally,
        clocks: &mut CorrectionsCache,
    ) -> Option<Joined> {
        let (sent, ta, written) = (pending.sent?, pending.ta?, pending.written?);
        if self.in_kafka == InKafka::ByProducer && pending.delivered.is_none() {
            return None;
        }
        if self.is_observed && pending.captured.is_none() {
            return None;
        }
        let fix = self.clocks.refresh(clocks);
        let captured = pending.captured.unwrap_or_else(|| unseen(&written, fix));
        tally.joined += 1;
        if captured.differs_from(&written) {
            tally.lsn_mismatches += 1;
            tracing::warn!(%id, ours = captured.lsn, theirs = written.source_lsn, "positions differ between our reader and the envelope");
        }
        let (tc, recorded) = (
            fix.postgres.to_ours(captured.tc),
            self.recorded(fix, &written),
        );
        if self.is_observed {
            self.bound_connect_by(fix, tc, recorded, &written);
        }
        let stamps = Stamps {
            ts: sent.ts,
            t0: sent.t0,
            ta,
            tc,
            t1: captured.t1,
            td: written.td.map(|td| fix.connect.to_ours(td)),
            // Without Kafka, T2 is T1, so that the hop `kafka_delivery` is zero.
            t2: recorded.or(pending.delivered).unwrap_or(captured.t1),
            t3: written.t3,
            t4: written.t4,
            t5: written.t5,
        };
        Some(Joined {
            id,
            seq,
            event_type: sent.event_type,
            captured,
            partition: written.partition,
            stamps,
        })
    }
}

/// Stands in for the reader's stamps, from the record alone, where our reader is not used.
fn unseen(written: &ConsumerStamps, fix: &Corrections) -> Captured {
    Captured {
        tc: written.t3,
        t1: written.t2.map_or(written.t3, |t2| fix.broker.to_ours(t2)),
        lsn: written.source_lsn.unwrap_or(0),
        commit_lsn: 0,
        xid: written
            .source_xid
            .and_then(|xid| u32::try_from(xid).ok())
            .unwrap_or(0),
    }
}

/// Hashes an event id by the random part of its UUIDv7, which only needs to be spread over the table.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        // The last eight bytes of a UUIDv7; a length that comes before them does no harm.
        if let Some(tail) = bytes.last_chunk() {
            self.0 ^= u64::from_le_bytes(*tail);
        }
    }

    fn finish(&self) -> u64 {
        // The table uses the low bits of the hash; multiplying and rotating brings the random bits there.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in one thread must not lose the stamps of the others.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Nanos, OffsetLine};
    use uuid::Uuid;

    fn id(n: u128) -> EventId {
        EventId(Uuid::from_u128(n))
    }

    fn captured(lsn: u64) -> Captured {
        Captured {
            tc: Stamp(105),
            t1: Stamp(120),
            lsn,
            commit_lsn: lsn + 8,
            xid: 7,
        }
    }

    fn written(lsn: u64) -> ConsumerStamps {
        ConsumerStamps {
            td: Some(Stamp(125)),
            t2: Some(Stamp(140)),
            t3: Stamp(150),
            t4: Stamp(155),
            t5: Stamp(170),
            source_lsn: Some(lsn),
            source_xid: Some(7),
            partition: None,
        }
    }

    #[test]
    fn an_event_is_whole_whatever_the_order_its_stamps_come_in() {
        let steps: [fn(&Joiner) -> Option<Joined>; 4] = [
            |j| {
                j.sending(id(1), 0, EventType::UserCreated, Stamp(90), Stamp(100));
                j.tally().sent.checked_sub(1).and(None)
            },
            |j| j.acknowledged(id(1), 0, Stamp(110)),
            |j| j.captured(id(1), 0, captured(64)),
            |j| j.written(id(1), 0, written(64)),
        ];
        for order in [[0, 1, 2, 3], [0, 2, 3, 1], [0, 3, 2, 1]] {
            let clocks = ForeignClocks::new(Corrections {
                broker: OffsetLine::constant(Nanos(10)),
                ..Corrections::default()
            });
            let joiner = Joiner::new(InKafka::ByBroker, Arc::new(clocks));
            let results: Vec<_> = order
                .map(|n| steps[n](&joiner))
                .into_iter()
                .flatten()
                .collect();
            assert_eq!(results.len(), 1, "{order:?}");
            assert_eq!(results[0].stamps.t2, Stamp(130));
            assert_eq!(joiner.tally().joined, 1);
            assert!(
                joiner
                    .shards
                    .iter()
                    .all(|shard| lock(shard).pending.is_empty())
            );
        }
    }

    #[test]
    fn an_event_of_our_producers_waits_for_its_delivery_report() {
        let joiner = Joiner::new(InKafka::ByProducer, Arc::default());
        joiner.sending(id(5), 0, EventType::UserCreated, Stamp(90), Stamp(100));
        joiner.acknowledged(id(5), 0, Stamp(110));
        joiner.captured(id(5), 0, captured(64));
        assert_eq!(joiner.written(id(5), 0, written(64)), None);
        let event = joiner.delivered(id(5), 0, Stamp(151)).unwrap();
        assert_eq!(event.stamps.t2, Stamp(151), "not the broker's 140");
    }

    #[test]
    fn without_an_observer_the_way_to_kafka_is_one() {
        let joiner = Joiner::new(InKafka::ByBroker, Arc::default()).unobserved();
        joiner.sending(id(7), 0, EventType::UserCreated, Stamp(90), Stamp(100));
        joiner.acknowledged(id(7), 0, Stamp(110));
        let event = joiner.written(id(7), 0, written(64)).unwrap();
        assert_eq!((event.stamps.t1, event.stamps.t2), (Stamp(140), Stamp(140)));
        assert_eq!(joiner.tally().lsn_mismatches, 0);
    }

    #[test]
    fn without_kafka_there_is_no_way_to_it() {
        let joiner = Joiner::new(InKafka::Never, Arc::default());
        joiner.sending(id(6), 0, EventType::UserCreated, Stamp(90), Stamp(100));
        joiner.acknowledged(id(6), 0, Stamp(110));
        joiner.captured(id(6), 0, captured(64));
        let event = joiner.written(id(6), 0, written(64)).unwrap();
        assert_eq!(event.stamps.t2, event.stamps.t1);
    }

    #[test]
    fn a_second_delivery_is_a_duplicate_and_nothing_else() {
        let joiner = Joiner::new(InKafka::ByBroker, Arc::default());
        assert!(joiner.consumed(70));
        assert!(!joiner.consumed(70));
        assert_eq!(joiner.written(id(2), 70, written(1)), None);
        assert_eq!(joiner.written(id(2), 70, written(1)), None);
        let tally = joiner.tally();
        assert_eq!((tally.consumed, tally.duplicates, tally.written), (1, 1, 1));
    }

    #[test]
    fn positions_that_differ_are_counted() {
        let joiner = Joiner::new(InKafka::ByBroker, Arc::default());
        joiner.sending(id(3), 0, EventType::UserCreated, Stamp(90), Stamp(100));
        joiner.acknowledged(id(3), 0, Stamp(110));
        joiner.captured(id(3), 0, captured(64));
        assert!(joiner.written(id(3), 0, written(65)).is_some());
        assert_eq!(joiner.tally().lsn_mismatches, 1);
    }

    #[test]
    fn a_refused_insert_leaves_nothing_behind() {
        let joiner = Joiner::new(InKafka::ByBroker, Arc::default());
        joiner.sending(id(4), 0, EventType::UserCreated, Stamp(90), Stamp(100));
        joiner.insert_failed(id(4), 0);
        assert!(
            joiner
                .shards
                .iter()
                .all(|shard| lock(shard).pending.is_empty())
        );
        assert_eq!(joiner.tally().insert_errors, 1);
    }
}
