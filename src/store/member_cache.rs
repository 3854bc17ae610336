//! A cache of object members, for payloads that have the same members again and again: the JSON text before a member's
//! value, and the BSON that it becomes. Instead of reading a name, its text is compared with those that were read in the
//! same position before: first in its object, or after the same member.
//!
//! The result is the same as without the cache: a name, the colon after it, and the brace or comma before it are tokens
//! that are complete whatever follows them.

use std::marker::PhantomData;

use super::bson::ElementHead;
use crate::json::{EscapeLevel, Expected, JsonReader};

/// Members that are compared in one position. Where there are more, the names are probably data themselves.
const MAX_PER_POSITION: usize = 8;
/// Members that are cached in total.
const MAX_MEMBERS: usize = 1_024;
/// Longest text before a value that is cached, bytes.
const MAX_LENGTH: usize = 256;

/// Index of a cached member.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberId(usize);

/// Where in a payload a member is.
#[derive(Debug, Clone, Copy)]
pub(super) enum MemberPosition {
    /// First in the outermost object.
    Outermost,
    /// First in an object that is the value of this member, or an item of the array that is its value.
    In(MemberId),
    /// After this member.
    After(MemberId),
}

/// Members of texts of one escape level, each by its position.
#[derive(Debug)]
pub(super) struct MemberCache<S> {
    members: Vec<CachedMember>,
    outermost: Option<MemberId>,
    level: PhantomData<S>,
}

#[derive(Debug)]
struct CachedMember {
    /// The text before its value, from the brace or the end of the previous value on.
    json: Expected,
    /// The BSON before its value: a byte for the kind, and the name.
    bson: ElementHead,
    is_occurred_at: bool,
    first_in: Option<MemberId>,
    after: Option<MemberId>,
    /// The next member of the same position.
    sibling: Option<MemberId>,
}

/// A member that was read up to its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberHead {
    /// `None` where it is not cached.
    pub member: Option<MemberId>,
    pub is_occurred_at: bool,
}

impl<S> Default for MemberCache<S> {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            outermost: None,
            level: PhantomData,
        }
    }
}

impl<S: EscapeLevel> MemberCache<S> {
    /// Reads a member that is cached in this position, up to its value; with it, its BSON. Before any other member the
    /// reader does not move: it stays at the brace or the end of the previous value.
    #[inline]
    pub fn read(
        &self,
        position: MemberPosition,
        json: &mut JsonReader<'_, S>,
    ) -> Option<(MemberHead, &ElementHead)> {
        let mut next = self.first(position);
        while let Some(member) = next {
            let cached = &self.members[member.0];
            if json.expected(&cached.json).is_ok() {
                let head = MemberHead {
                    member: next,
                    is_occurred_at: cached.is_occurred_at,
                };
                return Some((head, &cached.bson));
            }
            next = cached.sibling;
        }
        None
    }

    /// Caches a member in this position, where there is room.
    pub fn learn(
        &mut self,
        position: MemberPosition,
        json: &str,
        bson: &[u8],
        is_occurred_at: bool,
    ) -> Option<MemberId> {
        let sibling = self.first(position);
        let next = |member: &MemberId| self.members[member.0].sibling;
        let here = std::iter::successors(sibling, next).count();
        let has_room =
            here < MAX_PER_POSITION && self.members.len() < MAX_MEMBERS && json.len() <= MAX_LENGTH;
        if !has_room {
            return None;
        }
        let new = Some(MemberId(self.members.len()));
        self.members.push(CachedMember {
            json: Expected::new(json.as_bytes()),
            bson: ElementHead::new(bson),
            is_occurred_at,
            first_in: None,
            after: None,
            sibling,
        });
        match position {
            MemberPosition::Outermost => self.outermost = new,
            MemberPosition::In(member) => self.members[member.0].first_in = new,
            MemberPosition::After(member) => self.members[member.0].after = new,
        }
        new
    }

    #[inline]
    fn first(&self, position: MemberPosition) -> Option<MemberId> {
        match position {
            MemberPosition::Outermost => self.outermost,
            MemberPosition::In(member) => self.members[member.0].first_in,
            MemberPosition::After(member) => self.members[member.0].after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::TopLevel;
    use crate::store::bson::BsonBuffer;
    use crate::store::transcode::transcode_cached;

    fn read(cache: &mut MemberCache<TopLevel>, json: &str) {
        let mut buffer = BsonBuffer::default();
        transcode_cached(&mut JsonReader::new(json), &mut buffer, cache).unwrap();
    }

    #[test]
    fn each_member_is_learned_once() {
        let mut cache = MemberCache::default();
        let alike = [
            r#"{"a": 1, "b": {"c": [{"d": 2}, {"d": 3, "e": 4}]}, "f": 5}"#,
            r#"{"a": "", "b": {"c": [{"d": {}}]}, "f": null}"#,
            r#"{"a": 1, "b": 2}"#,
        ];
        for json in alike {
            read(&mut cache, json);
            assert_eq!(cache.members.len(), 6, "{json}");
        }
        // `f` follows `b` in the cache, and `a` here.
        read(&mut cache, r#"{"a": 1, "f": 5}"#);
        assert_eq!(cache.members.len(), 7);
        // A space more.
        read(&mut cache, r#"{"a": 1,  "b": 2}"#);
        assert_eq!(cache.members.len(), 8);
    }

    #[test]
    fn names_that_are_data_are_not_cached() {
        let mut cache = MemberCache::default();
        for n in 0..100 {
            read(&mut cache, &format!(r#"{{"n{n}":{{"a":1}},"b":2}}"#));
        }
        let cached = 3 * MAX_PER_POSITION;
        assert_eq!(cache.members.len(), cached);
        let long = "x".repeat(MAX_LENGTH);
        read(&mut cache, &format!(r#"{{"n1":{{"a":1,"{long}":2}}}}"#));
        assert_eq!(cache.members.len(), cached);
        for n in 0..2 * MAX_MEMBERS {
            let nested = "{\"a\":".repeat(n % 90);
            read(
                &mut cache,
                &format!(r#"{{"n1":{nested}{{"n{n}":0}}{}}}"#, "}".repeat(n % 90)),
            );
        }
        assert!(cache.members.len() <= MAX_MEMBERS);
    }
}
