//! The fields of a change event that are read.

/// A field of the event that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Text(TextField),
    TsNs,
    TsMs,
    Lsn,
    TxId,
    Id,
    Seq,
    AggregateId,
    Payload,
    CreatedAt,
}

/// A field that is a text, in most events one of a few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextField {
    Op,
    RunId,
    EventType,
    AggregateType,
}

impl TextField {
    pub fn name(self) -> &'static str {
        match self {
            Self::Op => "op",
            Self::RunId => "run_id",
            Self::EventType => "event_type",
            Self::AggregateType => "aggregate_type",
        }
    }
}
