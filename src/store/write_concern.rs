//! The write concerns that a run can ask for.

use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};

use super::bson::{BsonBuffer, kind};

/// Longest wait of the server for its write concern, in milliseconds.
const WRITE_CONCERN_LIMIT_MS: i64 = 10_000;

/// When the server acknowledges a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteConcernChoice {
    /// `w: "majority", j: true`: it survives the loss of a minority of the servers, and of power.
    #[default]
    MajorityJournaled,
    /// `w: 1, j: true`: in the primary's journal.
    Journaled,
    /// `w: 1, j: false`: in the primary's memory.
    Acknowledged,
}

impl WriteConcernChoice {
    /// The choice that a connection string's `w` and `journal` are; the default where it has neither. `None`: none of these.
    pub(super) fn from_options(asked: Option<&WriteConcern>) -> Option<Self> {
        let Some(asked) = asked else {
            return Some(Self::default());
        };
        match (&asked.w, asked.journal) {
            (None | Some(Acknowledgment::Majority), None | Some(true)) => {
                Some(Self::MajorityJournaled)
            }
            (Some(Acknowledgment::Nodes(1)), Some(true)) => Some(Self::Journaled),
            (Some(Acknowledgment::Nodes(1)), None | Some(false)) => Some(Self::Acknowledged),
            _ => None,
        }
    }

    /// As reports name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MajorityJournaled => "majority+journal",
            Self::Journaled => "w1+journal",
            Self::Acknowledged => "w1",
        }
    }

    /// The read concern that sees every write that was acknowledged: what one server has acknowledged is not known to a majority
    /// at once.
    pub(super) fn read_concern(self) -> ReadConcern {
        match self {
            Self::MajorityJournaled => ReadConcern::majority(),
            Self::Journaled | Self::Acknowledged => ReadConcern::local(),
        }
    }

    pub(super) fn write_to(self, buffer: &mut BsonBuffer) {
        buffer.element(kind::DOCUMENT, "writeConcern");
        let concern = buffer.begin();
        match self {
            Self::MajorityJournaled => buffer.string("w", "majority"),
            Self::Journaled | Self::Acknowledged => buffer.int64("w", 1),
        }
        buffer.boolean("j", self != Self::Acknowledged);
        buffer.int64("wtimeout", WRITE_CONCERN_LIMIT_MS);
        buffer.end(concern);
    }
}
