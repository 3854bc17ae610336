//! Notices when a slot is not read any more, or is about to be lost: said at once in the log, and kept for the report.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::pipeline::monitor::guarded_slot::{GuardedSlot, SlotReader};

/// A reader without a reply for so long does not read. PostgreSQL asks for one after half of wal_sender_timeout, 30 s by default;
/// clients reply every ten seconds without being asked.
const UNREAD: Duration = Duration::from_secs(45);
/// A reply may be so late without being mentioned.
const LATE: Duration = Duration::from_secs(12);

/// What can be wrong with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SlotTrouble {
    /// Nobody reads it, or its reader does not reply.
    Unread,
    /// The server may remove WAL that it needs at its next checkpoint.
    Unreserved,
    /// The server has ended its reader to give it up, and waits for that reader in its checkpoint.
    CheckpointWaits,
}

/// A time in which something was wrong with a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotIncident {
    pub(crate) slot: String,
    pub(crate) trouble: SlotTrouble,
    pub(crate) began: Timestamp,
    /// `None` if it goes on.
    pub(crate) ended: Option<Timestamp>,
    /// Slot, position and reader, as they were when it was noticed.
    pub(crate) what: String,
    /// The way out.
    pub(crate) advice: &'static str,
}

/// When a slot was last seen to be read.
#[derive(Debug)]
struct LifeSign {
    /// Process and last reply of its reader, if they can be seen, and what it has confirmed.
    sign: (Option<(i32, Option<String>)>, Option<String>),
    at: Instant,
}

/// The slots of a run over time.
#[derive(Debug, Default)]
pub(super) struct SlotWatch {
    signs: BTreeMap<String, LifeSign>,
    incidents: Vec<SlotIncident>,
    /// Whether the checkpoint has waited at the look before this one.
    checkpoint_waited: bool,
}

impl SlotWatch {
    /// Looks at the slots as they are now at this server; logs what has become wrong.
    pub(super) fn observe(
        &mut self,
        slots: &[GuardedSlot],
        server: &dyn std::fmt::Display,
        checkpoint_waits: bool,
        now: (Instant, Timestamp),
    ) {
        let blocks = checkpoint_waits && self.checkpoint_waited;
        self.checkpoint_waited = checkpoint_waits;
        for slot in slots {
            self.note_sign(slot, now.0);
            let quiet = self.quiet(&slot.name, now.0);
            let reader = describe_reader(slot, quiet);
            let (name, kept) = (&slot.name, slot.kept_wal());
            let is_unread = quiet >= UNREAD && !slot.is_lost();
            self.set(slot, SlotTrouble::Unread, is_unread, now.1, || {
                let what = format!(
                    "slot \"{name}\" at {server} is not read: {reader}, and {kept} is kept for it"
                );
                let advice = match &slot.reader {
                    Some(_) => "let its reader go on, or end it",
                    None => "start its reader again, or drop the slot; a connector reads its slot once it has taken its snapshot",
                };
                (what, advice)
            });
            let is_unreserved = slot.is_unreserved();
            self.set(slot, SlotTrouble::Unreserved, is_unreserved, now.1, || {
                let what = format!(
                    "slot \"{name}\" at {server} is about to be lost: {kept} is more than max_slot_wal_keep_size lets it keep, and the next \
                     checkpoint removes it; {reader}"
                );
                (what, "let its reader catch up at once, or set a larger max_slot_wal_keep_size and reload")
            });
            let blocks = blocks && is_unreserved && slot.reader.is_some();
            self.set(slot, SlotTrouble::CheckpointWaits, blocks, now.1, || {
                let what = format!(
                    "PostgreSQL at {server} makes no checkpoint: it has given slot \"{name}\" up and waits for its reader to end, which takes \
                     nothing, and WAL grows until it has; {reader}"
                );
                (what, "end the reader's process, or close its connection: PostgreSQL cannot")
            });
        }
        let gone = |incident: &&mut SlotIncident| {
            incident.ended.is_none() && !slots.iter().any(|slot| slot.name == incident.slot)
        };
        for incident in self.incidents.iter_mut().filter(gone) {
            incident.ended = Some(now.1);
        }
        self.signs
            .retain(|name, _| slots.iter().any(|slot| slot.name == *name));
    }

    /// What was wrong so far.
    pub(super) fn incidents(&self) -> Vec<SlotIncident> {
        self.incidents.clone()
    }

    /// Who reads a slot, and what it has left unread.
    pub(super) fn describe(&self, slot: &GuardedSlot, now: Instant) -> String {
        describe_reader(slot, self.quiet(&slot.name, now))
    }

    fn note_sign(&mut self, slot: &GuardedSlot, now: Instant) {
        let reader = slot.reader.as_ref();
        let sign = (
            reader.map(|reader| (reader.pid, reader.replied.clone())),
            slot.confirmed.clone(),
        );
        // Where its replies may not be seen, one that is there is taken to read.
        let is_seen = reader.is_some_and(SlotReader::is_hidden);
        match self.signs.get_mut(&slot.name) {
            Some(last) if last.sign == sign && !is_seen => {}
            Some(last) if sign.0.is_none() && last.sign.1 == sign.1 => last.sign = sign,
            _ => {
                let sign = LifeSign { sign, at: now };
                self.signs.insert(slot.name.clone(), sign);
            }
        }
    }

    /// How long a slot was not seen to be read.
    fn quiet(&self, slot: &str, now: Instant) -> Duration {
        let sign = self.signs.get(slot);
        sign.map_or(Duration::ZERO, |sign| {
            now.saturating_duration_since(sign.at)
        })
    }

    /// Begins or ends an incident.
    fn set(
        &mut self,
        slot: &GuardedSlot,
        trouble: SlotTrouble,
        is_there: bool,
        now: Timestamp,
        told: impl FnOnce() -> (String, &'static str),
    ) {
        let mut incidents = self.incidents.iter_mut();
        let going_on = incidents.find(|incident| {
            incident.ended.is_none() && incident.trouble == trouble && incident.slot == slot.name
        });
        match going_on {
            Some(incident) if !is_there => incident.ended = Some(now),
            None if is_there => {
                let (what, advice) = told();
                tracing::warn!("{what}: {advice}");
                self.incidents.push(SlotIncident {
                    slot: slot.name.clone(),
                    trouble,
                    began: now,
                    ended: None,
                    what,
                    advice,
                });
            }
            _ => {}
        }
    }
}

/// Who reads a slot, and since when it does not.
fn describe_reader(slot: &GuardedSlot, quiet: Duration) -> String {
    let quiet_s = quiet.as_secs();
    match &slot.reader {
        None => format!("nobody has read it for {quiet_s} s"),
        Some(reader) if reader.is_hidden() => {
            format!(
                "it has a reader, whose replies this user may not see: pg_read_all_stats ({reader})"
            )
        }
        Some(reader) if quiet > LATE => {
            format!("its reader has not replied for {quiet_s} s ({reader})")
        }
        Some(reader) => format!("its reader replies ({reader})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is logged and kept of slots that are looked at one after the other.
    struct Looks {
        watch: SlotWatch,
        began: Instant,
    }

    impl Looks {
        fn new() -> Self {
            Self {
                watch: SlotWatch::default(),
                began: Instant::now(),
            }
        }

        fn at(&mut self, second: u64, slots: &[GuardedSlot], checkpoint_waits: bool) {
            let now = self.began + Duration::from_secs(second);
            let time = Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
            self.watch
                .observe(slots, &"db:5432", checkpoint_waits, (now, time));
        }

        fn troubles(&self) -> Vec<(SlotTrouble, i64, Option<i64>)> {
            let incidents = self.watch.incidents.iter();
            incidents
                .map(|incident| {
                    let ended = incident.ended.map(Timestamp::as_second);
                    (incident.trouble, incident.began.as_second(), ended)
                })
                .collect()
        }
    }

    fn slot(replied: Option<&str>) -> GuardedSlot {
        GuardedSlot {
            name: "s".to_owned(),
            held: Some(30 << 20),
            restart: Some("0/5A".to_owned()),
            status: Some("extended".to_owned()),
            reader: replied.map(|replied| SlotReader {
                pid: 7,
                application: Some("Debezium Streaming".to_owned()),
                address: None,
                replied: Some(replied.to_owned()),
                state: Some("streaming".to_owned()),
            }),
            ..GuardedSlot::default()
        }
    }

    #[test]
    fn a_reader_that_does_not_reply_is_told_once_and_ends_with_its_next_reply() {
        let mut looks = Looks::new();
        looks.at(0, &[slot(Some("a"))], false);
        looks.at(44, &[slot(Some("a"))], false);
        assert_eq!(looks.troubles(), []);
        looks.at(45, &[slot(Some("a"))], false);
        looks.at(50, &[slot(Some("a"))], false);
        let what = &looks.watch.incidents[0].what;
        for part in [
            "\"s\" at db:5432",
            "for 45 s",
            "process 7",
            "Debezium",
            "0/5A",
            "30 MiB",
        ] {
            assert!(what.contains(part), "{part}: {what}");
        }
        looks.at(60, &[slot(Some("b"))], false);
        assert_eq!(looks.troubles(), [(SlotTrouble::Unread, 45, Some(60))]);
    }

    #[test]
    fn that_a_reader_goes_is_no_sign_of_it_and_another_one_is() {
        let mut looks = Looks::new();
        looks.at(0, &[slot(Some("a"))], false);
        looks.at(30, &[slot(None)], false);
        looks.at(46, &[slot(None)], false);
        let what = &looks.watch.incidents[0].what;
        assert!(what.contains("nobody has read it for 46 s"), "{what}");
        looks.at(47, &[slot(Some("c"))], false);
        assert_eq!(looks.troubles(), [(SlotTrouble::Unread, 46, Some(47))]);
    }

    #[test]
    fn replies_that_may_not_be_seen_are_taken_to_come() {
        let mut hidden = slot(Some("a"));
        let reader = hidden.reader.as_mut().unwrap();
        (reader.replied, reader.state) = (None, None);
        let mut looks = Looks::new();
        looks.at(0, std::slice::from_ref(&hidden), false);
        looks.at(500, &[hidden], false);
        assert_eq!(looks.troubles(), []);
    }

    #[test]
    fn a_slot_about_to_be_lost_and_a_checkpoint_that_waits_for_it_are_told_at_once() {
        let mut looks = Looks::new();
        let mut slot = slot(Some("a"));
        slot.status = Some("unreserved".to_owned());
        looks.at(0, std::slice::from_ref(&slot), false);
        looks.at(1, std::slice::from_ref(&slot), true);
        assert_eq!(looks.troubles(), [(SlotTrouble::Unreserved, 0, None)]);
        looks.at(2, std::slice::from_ref(&slot), true);
        // It is dropped.
        looks.at(3, &[], false);
        let troubles = [
            (SlotTrouble::Unreserved, 0, Some(3)),
            (SlotTrouble::CheckpointWaits, 2, Some(3)),
        ];
        assert_eq!(looks.troubles(), troubles);
    }
}
