//! The group's members: rebalances, and a group that nobody is in.

use std::sync::Arc;

use cdc_bench_model::observation::diagnosis::GroupEvidence;

use crate::broker::{BrokerError, GroupMembers, GroupWatch};

/// Looks at the group's members.
pub(super) struct MembersWatch {
    watch: Arc<GroupWatch>,
    /// The members at the last look.
    members: Option<Vec<String>>,
    /// How far the group's offsets had advanced then.
    advances: u64,
    seen: GroupEvidence,
}

impl MembersWatch {
    pub(super) fn new(watch: GroupWatch, name: String) -> Self {
        Self {
            watch: Arc::new(watch),
            members: None,
            advances: 0,
            seen: GroupEvidence {
                name,
                ..GroupEvidence::default()
            },
        }
    }

    /// Looks. `advances`: how often the group's offsets have advanced until now.
    pub(super) async fn look(&mut self, advances: u64) -> Result<(), BrokerError> {
        let watch = Arc::clone(&self.watch);
        let Ok(found) = tokio::task::spawn_blocking(move || watch.look()).await else {
            return Ok(());
        };
        self.take(found?, advances);
        Ok(())
    }

    fn take(&mut self, found: GroupMembers, advances: u64) {
        // Consumers that assign their partitions themselves are in no group, and commit all the same.
        let commits = advances > std::mem::replace(&mut self.advances, advances);
        self.seen.polls += 1;
        match &*found.state {
            // A group of another protocol is shown so.
            "Dead" | "" => {}
            "Empty" => {
                if !commits {
                    self.seen.without_members += 1;
                }
                self.members = Some(Vec::new());
            }
            state => {
                let before = self.members.replace(found.members.clone());
                let is_other = before.is_some_and(|before| before != found.members);
                if state.ends_with("Rebalance") || is_other {
                    self.seen.rebalances += 1;
                }
            }
        }
    }

    pub(super) fn seen(self) -> GroupEvidence {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(state: &str, members: &[&str]) -> GroupMembers {
        GroupMembers {
            state: state.to_owned(),
            members: members.iter().map(|&id| id.to_owned()).collect(),
        }
    }

    #[test]
    fn rebalances_and_an_empty_group_are_counted() {
        let config = rdkafka::ClientConfig::new();
        let watch = GroupWatch::new(&config, "readers").unwrap();
        let mut watch = MembersWatch::new(watch, "readers".to_owned());
        for (found, advances) in [
            (group("Stable", &["a"]), 1),
            (group("Stable", &["a"]), 2),
            (group("Stable", &["a", "b"]), 3),
            (group("PreparingRebalance", &["a", "b"]), 3),
            (group("Empty", &[]), 3),
            // Somebody commits who is not a member.
            (group("Empty", &[]), 4),
            (group("Dead", &[]), 4),
        ] {
            watch.take(found, advances);
        }
        let seen = watch.seen();
        assert_eq!(
            (seen.rebalances, seen.without_members, seen.polls),
            (2, 1, 7)
        );
    }
}
