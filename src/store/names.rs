//! What stands before the values in texts that are alike, and what it becomes: it is read once, and from then on compared
//! with what comes. A member is looked for among those that came in its place before: first in its object, or behind the
//! same member.
//!
//! What is found so is what would be read: a name, the colon behind it, and the brace or comma before it are tokens that
//! end by themselves, whatever follows.

use std::marker::PhantomData;

use super::bson::Head;
use crate::json::{Expected, Reader, Spelling};

/// Members that are tried in one place. Where more of them come, a name is likely to be a value itself.
const MOST_IN_A_PLACE: usize = 8;
/// Members that are known in all.
const MOST: usize = 1_024;
/// Longest text before a value that is kept.
const LONGEST: usize = 256;

/// A member that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member(usize);

/// Where a member stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// First in the outermost object.
    Outermost,
    /// First in the object that is this member's value, or in one of the list that is.
    In(Member),
    /// Behind this member.
    Behind(Member),
}

/// Members of texts that are spelled so, and where they were met with.
#[derive(Debug)]
pub(super) struct Names<S> {
    members: Vec<Known>,
    outermost: Option<Member>,
    spelling: PhantomData<S>,
}

#[derive(Debug)]
struct Known {
    /// All that is before its value, from the brace or the end of the value before.
    json: Expected,
    /// All that is before its value in BSON: a byte for the kind, and the name.
    bson: Head,
    is_occurred_at: bool,
    first_in: Option<Member>,
    behind: Option<Member>,
    /// Another in the same place.
    beside: Option<Member>,
}

/// A member, up to its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    /// None where it is not kept.
    pub member: Option<Member>,
    pub is_occurred_at: bool,
}

impl<S> Default for Names<S> {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            outermost: None,
            spelling: PhantomData,
        }
    }
}

impl<S: Spelling> Names<S> {
    /// Reads a member that is known in this place, up to its value, and what it is in BSON. Of any other the reader stays
    /// where it is: at the brace or the end of the value before.
    #[inline]
    pub fn read(&self, place: Place, json: &mut Reader<'_, S>) -> Option<(Named, &Head)> {
        let mut next = self.first(place);
        while let Some(member) = next {
            let known = &self.members[member.0];
            if json.expected(&known.json).is_ok() {
                let named = Named {
                    member: next,
                    is_occurred_at: known.is_occurred_at,
                };
                return Some((named, &known.bson));
            }
            next = known.beside;
        }
        None
    }

    /// Learns a member that was not known in this place.
    pub fn learn(
        &mut self,
        place: Place,
        json: &str,
        bson: &[u8],
        is_occurred_at: bool,
    ) -> Option<Member> {
        let beside = self.first(place);
        let next = |member: &Member| self.members[member.0].beside;
        let in_this_place = std::iter::successors(beside, next).count();
        let is_kept =
            in_this_place < MOST_IN_A_PLACE && self.members.len() < MOST && json.len() <= LONGEST;
        if !is_kept {
            return None;
        }
        let new = Some(Member(self.members.len()));
        self.members.push(Known {
            json: Expected::new(json.as_bytes()),
            bson: Head::new(bson),
            is_occurred_at,
            first_in: None,
            behind: None,
            beside,
        });
        match place {
            Place::Outermost => self.outermost = new,
            Place::In(member) => self.members[member.0].first_in = new,
            Place::Behind(member) => self.members[member.0].behind = new,
        }
        new
    }

    #[inline]
    fn first(&self, place: Place) -> Option<Member> {
        match place {
            Place::Outermost => self.outermost,
            Place::In(member) => self.members[member.0].first_in,
            Place::Behind(member) => self.members[member.0].behind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Plain;
    use crate::store::bson::BsonBuffer;
    use crate::store::transcode::transcode_alike;

    fn read(names: &mut Names<Plain>, json: &str) {
        let mut buffer = BsonBuffer::default();
        transcode_alike(&mut Reader::new(json), &mut buffer, names).unwrap();
    }

    #[test]
    fn each_member_is_learned_once() {
        let mut names = Names::default();
        let alike = [
            r#"{"a": 1, "b": {"c": [{"d": 2}, {"d": 3, "e": 4}]}, "f": 5}"#,
            r#"{"a": "", "b": {"c": [{"d": {}}]}, "f": null}"#,
            r#"{"a": 1, "b": 2}"#,
        ];
        for json in alike {
            read(&mut names, json);
            assert_eq!(names.members.len(), 6, "{json}");
        }
        // As `b` was here, and was not there.
        read(&mut names, r#"{"a": 1, "f": 5}"#);
        assert_eq!(names.members.len(), 7);
        // A space more.
        read(&mut names, r#"{"a": 1,  "b": 2}"#);
        assert_eq!(names.members.len(), 8);
    }

    #[test]
    fn names_that_are_values_are_not_kept() {
        let mut names = Names::default();
        for n in 0..100 {
            read(&mut names, &format!(r#"{{"n{n}":{{"a":1}},"b":2}}"#));
        }
        let in_a_place = 3 * MOST_IN_A_PLACE;
        assert_eq!(names.members.len(), in_a_place);
        let long = "x".repeat(LONGEST);
        read(&mut names, &format!(r#"{{"n1":{{"a":1,"{long}":2}}}}"#));
        assert_eq!(names.members.len(), in_a_place);
        for n in 0..2 * MOST {
            let nested = "{\"a\":".repeat(n % 90);
            read(
                &mut names,
                &format!(r#"{{"n1":{nested}{{"n{n}":0}}{}}}"#, "}".repeat(n % 90)),
            );
        }
        assert!(names.members.len() <= MOST);
    }
}
