//! What a record is, by the fields that it has.

mod cloud_event;
mod decoded;
mod envelope;
mod flattened;
mod outbox;
mod surroundings;
mod values;

use super::outline::{Outline, Part};
use super::record::{NotAChange, Observed};
use values::unwrapped;

pub(super) use decoded::Decoded;

/// What a record with this value is.
pub(super) fn observed(decoded: &Decoded<'_>, value: Part) -> Observed {
    match unwrapped(value) {
        Part::Null => without_value(decoded),
        Part::Fields(fields) => with_fields(decoded, &fields),
        _ => match outbox::change(decoded) {
            Some(change) => Observed::Change(change),
            None => unknown("its value is not an object of fields"),
        },
    }
}

fn without_value(decoded: &Decoded<'_>) -> Observed {
    match flattened::deletion(decoded) {
        Some(change) => Observed::Change(change),
        None => Observed::Tombstone {
            key: decoded.canonical_key(),
        },
    }
}

fn with_fields(decoded: &Decoded<'_>, fields: &Outline) -> Observed {
    if let Some(surrounding) = surroundings::of(decoded, fields) {
        return Observed::NotAChange(surrounding);
    }
    let change = envelope::change(decoded, fields)
        .or_else(|| cloud_event::change(decoded, fields))
        .or_else(|| outbox::change(decoded).map(Ok))
        .or_else(|| flattened::change(decoded, fields));
    match change {
        Some(Ok(change)) => Observed::Change(change),
        Some(Err(reason)) => Observed::NotAChange(NotAChange::Unknown(reason)),
        None => unknown(
            "it is neither Debezium's envelope, nor a CloudEvent, nor an event of an outbox, nor a row with the columns of its key",
        ),
    }
}

fn unknown(reason: &str) -> Observed {
    Observed::NotAChange(NotAChange::Unknown(reason.to_owned()))
}
