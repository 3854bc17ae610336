//! Whether a stream can go on from a position without a gap: what the server says of itself and of the slot, held against what
//! the sink has.

use crate::checkpoint::{CheckpointProgress, CheckpointSource};
use crate::reader::config::ReaderConfig;
use crate::wire::SystemIdentity;
use crate::{Lsn, ReaderError, Server, SlotName};

/// The slot as the server describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub(super) struct SlotDescription {
    pub(super) slot_type: String,
    pub(super) plugin: Option<String>,
    pub(super) database: Option<String>,
    pub(super) confirmed_flush_lsn: Option<String>,
    pub(super) wal_status: Option<String>,
    /// Whether it sends transactions when they are prepared.
    pub(super) two_phase: bool,
    /// PostgreSQL 17 and later.
    pub(super) invalidation_reason: Option<String>,
}

impl SlotDescription {
    /// The query whose only value is the description in JSON; columns that a version does not have are missing there.
    pub(super) fn query(slot: &SlotName) -> String {
        format!("SELECT to_jsonb(s) FROM pg_replication_slots s WHERE slot_name = '{slot}'")
    }

    /// The position that its reader has acknowledged.
    pub(super) fn confirmed(&self) -> Option<Lsn> {
        self.confirmed_flush_lsn.as_deref()?.parse().ok()
    }

    /// Refuses a slot that this reader cannot read.
    pub(super) fn require_usable(&self, config: &ReaderConfig) -> Result<(), ReaderError> {
        let (slot, server) = (config.slot.name(), &config.server);
        let unusable = |reason: String, remedy: String| {
            Err(ReaderError::SlotUnusable {
                server: server.address(),
                slot: slot.clone(),
                reason,
                remedy,
            })
        };
        let drop_it = format!("SELECT pg_drop_replication_slot('{slot}')");
        if self.slot_type == "physical" {
            return unusable(
                "is a physical one, of a standby or an archive".to_owned(),
                "give the name of a logical slot, or of none that exists".to_owned(),
            );
        }
        if let Some(plugin) = &self.plugin
            && plugin != "pgoutput"
        {
            return unusable(
                format!("is of the output plugin {plugin}, and this reader reads pgoutput"),
                format!("give another name; or, if nobody reads it any more: {drop_it}"),
            );
        }
        if let Some(database) = &self.database
            && *database != server.database
        {
            return unusable(
                format!(
                    "is of database \"{database}\", and this is \"{}\"",
                    server.database
                ),
                "connect to its database, or give another name".to_owned(),
            );
        }
        if self.wal_status.as_deref() == Some("lost") || self.invalidation_reason.is_some() {
            let reason = self.invalidation_reason.as_deref();
            return unusable(
                format!(
                    "is lost ({}): the server has discarded WAL that it needed",
                    reason.unwrap_or("it exceeded max_slot_wal_keep_size")
                ),
                format!("drop it ({drop_it}), and begin anew with an initial copy"),
            );
        }
        match (config.two_phase, self.two_phase) {
            (true, false) => unusable(
                "does not send transactions when they are prepared".to_owned(),
                format!(
                    "leave out ReaderConfig::two_phase; or, on PostgreSQL 18 and when no transaction is prepared, ALTER_REPLICATION_SLOT {slot} (TWO_PHASE true) in a replication session; or let another be made"
                ),
            ),
            (false, true) => unusable(
                "was made with TWO_PHASE: it sends transactions when they are prepared, before they commit".to_owned(),
                "set ReaderConfig::two_phase, and take note of Event::CommitPrepared and Event::RollbackPrepared; or let another slot be made".to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

/// What a reader wants to go on from.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResumePoint {
    /// Everything up to here was delivered; `None` when the server's own position is meant.
    pub(super) position: Option<Lsn>,
    /// The timeline on which that was, if it is known.
    pub(super) timeline: Option<u32>,
}

impl ResumePoint {
    /// From a checkpoint, or the position that was configured.
    pub(super) fn first(progress: &CheckpointProgress, start_after: Option<Lsn>) -> Self {
        // A copy without any change after it is as of its own position.
        Self {
            position: progress.position.or(start_after).or(progress.first_copy()),
            timeline: progress.source.as_ref().map(|source| source.timeline),
        }
    }

    /// Refuses a position that is not in the server's WAL, or that the slot has passed.
    pub(super) fn require(
        self,
        identity: &SystemIdentity,
        is_standby: bool,
        confirmed: Option<Lsn>,
        slot: &SlotName,
        server: &Server,
    ) -> Result<(), ReaderError> {
        let Some(position) = self.position else {
            return Ok(());
        };
        // What a standby has not replayed yet is still to come.
        if position > identity.wal_end && !is_standby {
            return Err(ReaderError::PositionUnknown {
                server: server.address(),
                position,
                reason: format!(
                    "its end is {}. The server was restored from a backup, has lost its last WAL in a failover, or is another one",
                    identity.wal_end
                ),
            });
        }
        match confirmed {
            Some(stands) if stands > position => Err(ReaderError::SlotMoved {
                server: server.address(),
                slot: slot.clone(),
                ours: position,
                stands,
            }),
            _ => Ok(()),
        }
    }

    /// Whether the server has changed to another timeline since: its history is needed then.
    pub(super) fn needs_history(self, identity: &SystemIdentity) -> bool {
        let position = self.position.is_some_and(|lsn| lsn > Lsn(0));
        position && self.timeline.is_some_and(|ours| ours != identity.timeline)
    }

    /// Refuses a position that lies after the point at which the server's history has left our timeline.
    pub(super) fn require_in_history(
        self,
        history: &str,
        identity: &SystemIdentity,
        server: &Server,
    ) -> Result<(), ReaderError> {
        let (Some(position), Some(timeline)) = (self.position, self.timeline) else {
            return Ok(());
        };
        let unknown = |reason: String| {
            Err(ReaderError::PositionUnknown {
                server: server.address(),
                position,
                reason,
            })
        };
        match switch_point(history, timeline) {
            Some(switch) if position <= switch => Ok(()),
            Some(switch) => unknown(format!(
                "it is of timeline {timeline}, which this server has left at {switch} for timeline {}: what was read after that was lost in the failover",
                identity.timeline
            )),
            None => unknown(format!(
                "it is of timeline {timeline}, which is not in the history of this server's timeline {}",
                identity.timeline
            )),
        }
    }
}

/// Where a history (a file of three columns: timeline, position, reason) has left a timeline.
fn switch_point(history: &str, timeline: u32) -> Option<Lsn> {
    history.lines().find_map(|line| {
        let mut columns = line.split_whitespace();
        let is_it = columns.next()?.parse::<u32>().ok()? == timeline;
        let lsn = columns.next()?.parse().ok()?;
        is_it.then_some(lsn)
    })
}

/// Refuses a checkpoint that was written for something else.
pub(super) fn require_own(
    progress: &CheckpointProgress,
    found: &CheckpointSource,
) -> Result<(), ReaderError> {
    let has_content = progress.position.is_some() || progress.first_copy().is_some();
    let Some(stored) = progress.source.as_ref().filter(|_| has_content) else {
        return Ok(());
    };
    let is_same = stored.system == found.system
        && stored.database == found.database
        && stored.slot == found.slot;
    if is_same {
        return Ok(());
    }
    Err(ReaderError::ForeignCheckpoint {
        stored: stored.to_string(),
        found: found.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Slot;

    fn server() -> Server {
        Server::new("db", 5432, "me", String::new(), "shop")
    }

    fn slot() -> SlotName {
        SlotName::new("orders").unwrap()
    }

    fn at(position: u64, timeline: u32) -> ResumePoint {
        ResumePoint {
            position: Some(Lsn(position)),
            timeline: Some(timeline),
        }
    }

    fn identity(timeline: u32) -> SystemIdentity {
        SystemIdentity {
            system: "7".to_owned(),
            timeline,
            wal_end: Lsn(1_000),
        }
    }

    #[test]
    fn a_position_is_one_that_the_wal_has_and_the_slot_has_not_passed() {
        let check = |position, is_standby, confirmed| {
            at(position, 1).require(&identity(1), is_standby, confirmed, &slot(), &server())
        };
        assert!(check(500, false, Some(Lsn(500))).is_ok());
        assert!(check(1_000, false, None).is_ok());
        let moved = check(500, false, Some(Lsn(501))).unwrap_err();
        assert!(matches!(
            moved,
            ReaderError::SlotMoved {
                ours: Lsn(500),
                stands: Lsn(501),
                ..
            }
        ));
        let ahead = check(1_001, false, Some(Lsn(5))).unwrap_err();
        assert!(matches!(ahead, ReaderError::PositionUnknown { .. }));
        assert!(check(1_001, true, Some(Lsn(5))).is_ok(), "still to come");
        let none = ResumePoint {
            position: None,
            timeline: None,
        };
        assert!(
            none.require(&identity(1), false, Some(Lsn(5)), &slot(), &server())
                .is_ok()
        );
    }

    #[test]
    fn a_failover_that_lost_what_was_read_is_an_error() {
        const HISTORY: &str =
            "1\t0/64\tno recovery target specified\n\n2\t0/C8\tno recovery target specified\n";
        let check = |position, timeline| {
            at(position, timeline).require_in_history(HISTORY, &identity(3), &server())
        };
        assert!(at(1, 1).needs_history(&identity(3)) && !at(1, 3).needs_history(&identity(3)));
        assert!(check(100, 1).is_ok() && check(200, 2).is_ok());
        for (position, timeline) in [(101, 1), (201, 2), (1, 4)] {
            let lost = check(position, timeline).unwrap_err();
            assert!(
                matches!(lost, ReaderError::PositionUnknown { .. }),
                "{lost}"
            );
        }
    }

    #[test]
    fn a_checkpoint_of_something_else_is_an_error_unless_it_is_empty() {
        let source = |system: &str, database: &str, slot: &str| CheckpointSource {
            system: system.to_owned(),
            timeline: 1,
            database: database.to_owned(),
            slot: slot.to_owned(),
        };
        let found = source("7", "shop", "orders");
        let of = |stored| CheckpointProgress {
            source: stored,
            position: Some(Lsn(5)),
            ..CheckpointProgress::default()
        };
        assert!(require_own(&of(None), &found).is_ok());
        assert!(require_own(&of(Some(found.clone())), &found).is_ok());
        for other in [
            ("8", "shop", "orders"),
            ("7", "bank", "orders"),
            ("7", "shop", "o"),
        ] {
            let other = of(Some(source(other.0, other.1, other.2)));
            assert!(require_own(&other, &found).is_err(), "{other:?}");
            let empty = CheckpointProgress {
                position: None,
                ..other
            };
            assert!(require_own(&empty, &found).is_ok());
        }
    }

    #[test]
    fn a_slot_of_another_kind_says_so() {
        let mut config = ReaderConfig::new(server(), Slot::Existing(slot()), ["p"]);
        let refused = |description: SlotDescription| {
            let refused = description.require_usable(&config);
            refused.unwrap_err().to_string()
        };
        let logical = SlotDescription {
            slot_type: "logical".to_owned(),
            plugin: Some("pgoutput".to_owned()),
            database: Some("shop".to_owned()),
            wal_status: Some("reserved".to_owned()),
            ..SlotDescription::default()
        };
        assert!(logical.require_usable(&config).is_ok());
        let plugin = Some("test_decoding".to_owned());
        let words = refused(SlotDescription {
            plugin,
            ..logical.clone()
        });
        assert!(words.contains("output plugin test_decoding"), "{words}");
        let database = Some("bank".to_owned());
        let words = refused(SlotDescription {
            database,
            ..logical.clone()
        });
        assert!(words.contains("of database \"bank\""), "{words}");
        let invalidation_reason = Some("idle_timeout".to_owned());
        let words = refused(SlotDescription {
            invalidation_reason,
            ..logical.clone()
        });
        assert!(words.contains("lost (idle_timeout)"), "{words}");
        let wal_status = Some("lost".to_owned());
        let words = refused(SlotDescription {
            wal_status,
            ..logical.clone()
        });
        assert!(words.contains("begin anew"), "{words}");
        let physical = SlotDescription {
            slot_type: "physical".to_owned(),
            ..SlotDescription::default()
        };
        assert!(refused(physical).contains("physical"));
        let two_phase = SlotDescription {
            two_phase: true,
            ..logical.clone()
        };
        let words = refused(two_phase.clone());
        assert!(words.contains("set ReaderConfig::two_phase"), "{words}");
        config.two_phase = true;
        assert!(two_phase.require_usable(&config).is_ok());
        let words = logical.require_usable(&config).unwrap_err().to_string();
        assert!(
            words.contains("leave out ReaderConfig::two_phase"),
            "{words}"
        );
    }
}
