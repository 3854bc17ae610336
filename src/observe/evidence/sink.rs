//! The sink's server, MongoDB: its set, what writes wait for, its load.

use std::time::Duration;

use cdc_bench_model::observation::diagnosis::{
    ReplicaSet, ServerStatusEvidence, SinkEvidence, WriteConcernSeen,
};

use crate::store::{DefaultWriteConcern, MongoStore, ServerLoad, SetMember, SetStatus, StoreError};

/// Bytes of a reason that are kept.
const LONGEST: usize = 200;

/// Looks at the server.
pub(super) struct SinkWatch {
    store: MongoStore,
    seen: SinkEvidence,
    /// Writes at the first look, and the time they took.
    writes_before: Option<(u64, Duration)>,
    /// Whether its connections have a limit that does not move.
    has_limit: bool,
}

impl SinkWatch {
    pub(super) fn new(store: MongoStore, server: String) -> Self {
        Self {
            store,
            seen: SinkEvidence {
                server,
                ..SinkEvidence::default()
            },
            writes_before: None,
            has_limit: true,
        }
    }

    /// Asks what it answers. Returns how many questions that took; what was refused once is not asked again.
    ///
    /// # Errors
    /// When it does not answer at all.
    pub(super) async fn look(&mut self) -> Result<u64, StoreError> {
        let member = self.store.set_member().await?;
        let mut asked = 1;
        let is_in_set = member.is_some();
        if let Some(member) = member {
            self.take_member(member);
        }
        if self.seen.default_write_concern.is_none() && self.may_ask("getDefaultRWConcern") {
            asked += 1;
            let answer = self.store.default_write_concern().await;
            if let Some(found) = self.answered("getDefaultRWConcern", answer)? {
                let DefaultWriteConcern { w, journal } = found;
                self.seen.default_write_concern = Some(WriteConcernSeen { w, journal });
            }
        }
        if is_in_set && self.may_ask("replSetGetStatus") {
            asked += 1;
            let answer = self.store.set_status().await;
            if let Some(found) = self.answered("replSetGetStatus", answer)? {
                self.take_replication(found);
            }
        }
        if self.may_ask("serverStatus") {
            asked += 1;
            let answer = self.store.load().await;
            if let Some(found) = self.answered("serverStatus", answer)? {
                self.take_load(&found);
            }
        }
        Ok(asked)
    }

    fn may_ask(&self, command: &str) -> bool {
        !self.seen.unreadable.contains_key(command)
    }

    /// An answer; one that will be no other next time is noted.
    fn answered<T>(
        &mut self,
        command: &str,
        answer: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let why = match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if error.is_transient() => return Err(error),
            Err(StoreError::NotPermitted { cause, .. } | StoreError::LoginWanted { cause, .. }) => {
                format!("needs the role clusterMonitor: {cause}")
            }
            Err(StoreError::Permanent { cause, .. }) => cause,
            Err(other) => other.to_string(),
        };
        let end = why.floor_char_boundary(LONGEST);
        let unreadable = &mut self.seen.unreadable;
        unreadable.insert(command.to_owned(), why[..end].to_owned());
        Ok(None)
    }

    fn take_member(&mut self, member: SetMember) {
        let set = self.seen.set.get_or_insert_with(|| ReplicaSet {
            name: member.set,
            ..ReplicaSet::default()
        });
        set.hosts = member.hosts;
        set.was_secondary |= !member.is_primary;
    }

    fn take_replication(&mut self, found: SetStatus) {
        let seen = self.seen.replication.get_or_insert_default();
        seen.majority_behind = seen.majority_behind.max(found.majority_behind);
        let slowest = found.behind.into_iter().max_by_key(|(_, behind)| *behind);
        let most = |slowest: &Option<(String, Duration)>| slowest.as_ref().map(|(_, by)| *by);
        if most(&slowest) > most(&seen.slowest) {
            seen.slowest = slowest;
        }
        for member in found.unhealthy {
            if !seen.unhealthy.contains(&member) {
                seen.unhealthy.push(member);
            }
        }
    }

    fn take_load(&mut self, found: &ServerLoad) {
        let seen: &mut ServerStatusEvidence = self.seen.status.get_or_insert_default();
        seen.polls += 1;
        if let Some((used, free)) = found.connections {
            let (before, allowed) = seen.connections.unwrap_or((0, used + free));
            // What it allows does not move: a sum that does is none of a limit.
            self.has_limit &= allowed == used + free;
            seen.connections = Some((used.max(before), allowed));
        }
        if let Some((writes, took)) = found.writes {
            let (writes_before, took_before) = *self.writes_before.get_or_insert((writes, took));
            // A server that was started again counts from zero.
            seen.writes = Some((
                writes.saturating_sub(writes_before),
                took.saturating_sub(took_before),
            ));
        }
        seen.without_ticket += u64::from(found.write_tickets == Some(0));
        if let Some((used, dirty)) = found.cache {
            let (before, dirty_before) = seen.cache.unwrap_or_default();
            seen.cache = Some((used.max(before), dirty.max(dirty_before)));
        }
        seen.held_back += u64::from(found.holds_back);
    }

    pub(super) fn seen(mut self) -> SinkEvidence {
        if let Some(status) = self.seen.status.as_mut().filter(|_| !self.has_limit) {
            status.connections = None;
        }
        self.seen
    }
}
