//! Reads a change event member by member, in any order.

use std::borrow::Cow;

use uuid::Uuid;

use super::envelope::{Envelope, EnvelopeSource, OutboxAfter};
use super::error::{ParseFailure, missing};
use super::field::{Field, TextField};
use super::scalars::{
    instant_us, members, must_be_string, number, number_or_null, or_null, text, uuid,
};
use super::trace::ValueTrace;
use crate::json::{JsonReader, NotJson};
use cdc_bench_model::event::EventId;

/// Reads the string that is the row's payload.
pub(super) trait ReadPayload<'a>: FnMut(&mut JsonReader<'a>) -> Result<(), NotJson> {}

impl<'a, F: FnMut(&mut JsonReader<'a>) -> Result<(), NotJson>> ReadPayload<'a> for F {}

/// A change event as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct PartialEnvelope<'a> {
    op: Option<Cow<'a, str>>,
    ts_ns: Option<i64>,
    ts_ms: Option<i64>,
    source: Option<EnvelopeSource>,
    after: Option<PartialRow<'a>>,
}

/// Its row as far as it has been read.
#[derive(Debug, Default)]
struct PartialRow<'a> {
    id: Option<EventId>,
    run_id: Option<Cow<'a, str>>,
    seq: Option<u64>,
    event_type: Option<Cow<'a, str>>,
    aggregate_type: Option<Cow<'a, str>>,
    aggregate_id: Option<Uuid>,
    has_payload: bool,
    created_at_us: Option<i64>,
}

impl<'a> PartialEnvelope<'a> {
    /// Reads an event, with the converter's schemas or without. `trace` gets every value and where it is.
    pub(super) fn read(
        json: &mut JsonReader<'a>,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut ValueTrace,
    ) -> Result<Self, ParseFailure> {
        let mut values = Self::default();
        let mut wrapped = None;
        let begin = trace.len();
        members(json, |name, json| {
            let field = match name {
                "op" => Some(Field::Text(TextField::Op)),
                "ts_ns" => Some(Field::TsNs),
                "ts_ms" => Some(Field::TsMs),
                "after" => return values.read_row(json, payload, trace),
                "source" => return values.read_source(json, payload, trace),
                // With schemas.enable=true the converter wraps the event.
                "payload" => {
                    let begin = trace.len();
                    let inner = or_null(json, |json| Self::read(json, payload, trace))?;
                    wrapped = inner.map(|inner| (inner, begin..trace.len()));
                    return Ok(());
                }
                _ => None,
            };
            values.read_member(field, json, payload, trace)
        })?;
        if let Some((inner, of_inner)) = wrapped {
            let of_outer = begin..trace.len();
            if values.op.is_none() {
                trace.set_unused(of_outer.start..of_inner.start);
                trace.set_unused(of_inner.end..of_outer.end);
                return Ok(inner);
            }
            trace.set_unused(of_inner);
        }
        Ok(values)
    }

    fn read_row(
        &mut self,
        json: &mut JsonReader<'a>,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut ValueTrace,
    ) -> Result<(), ParseFailure> {
        if self.after.take().is_some() {
            trace.discard();
        }
        let row = or_null(json, |json| {
            self.after = Some(PartialRow::default());
            members(json, |name, json| {
                let field = match name {
                    "id" => Some(Field::Id),
                    "run_id" => Some(Field::Text(TextField::RunId)),
                    "seq" => Some(Field::Seq),
                    "event_type" => Some(Field::Text(TextField::EventType)),
                    "aggregate_type" => Some(Field::Text(TextField::AggregateType)),
                    "aggregate_id" => Some(Field::AggregateId),
                    "payload" => Some(Field::Payload),
                    "created_at" => Some(Field::CreatedAt),
                    _ => None,
                };
                self.read_member(field, json, payload, trace)
            })
        });
        row.map(drop)
    }

    fn read_source(
        &mut self,
        json: &mut JsonReader<'a>,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut ValueTrace,
    ) -> Result<(), ParseFailure> {
        if self.source.replace(EnvelopeSource::default()).is_some() {
            trace.discard();
        }
        members(json, |name, json| {
            let field = match name {
                "lsn" => Some(Field::Lsn),
                "txId" => Some(Field::TxId),
                _ => None,
            };
            self.read_member(field, json, payload, trace)
        })
    }

    /// Reads the value of a field, or skips the value of any other member.
    fn read_member(
        &mut self,
        field: Option<Field>,
        json: &mut JsonReader<'a>,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut ValueTrace,
    ) -> Result<(), ParseFailure> {
        json.peek()?;
        let begin = json.at();
        match field {
            Some(field) => self.read_field(field, json, payload)?,
            None => json.skip()?,
        }
        trace.record(field, begin..json.at());
        Ok(())
    }

    /// Reads the value of a field at the reader's position.
    #[inline]
    pub(super) fn read_field(
        &mut self,
        field: Field,
        json: &mut JsonReader<'a>,
        payload: &mut impl ReadPayload<'a>,
    ) -> Result<(), ParseFailure> {
        match field {
            Field::Text(field) => *self.text(field) = Some(text(json, field.name())?),
            Field::TsNs => self.ts_ns = number_or_null(json, "ts_ns")?,
            Field::TsMs => self.ts_ms = number_or_null(json, "ts_ms")?,
            Field::Lsn => self.source().lsn = number_or_null(json, "lsn")?,
            Field::TxId => self.source().tx_id = number_or_null(json, "txId")?,
            Field::Id => self.row().id = Some(EventId(uuid(json, "id")?)),
            Field::Seq => self.row().seq = Some(number(json, "seq")?),
            Field::AggregateId => self.row().aggregate_id = Some(uuid(json, "aggregate_id")?),
            Field::Payload => {
                must_be_string(json, "payload")?;
                payload(json)?;
                self.row().has_payload = true;
            }
            Field::CreatedAt => self.row().created_at_us = Some(instant_us(json, "created_at")?),
        }
        Ok(())
    }

    pub(super) fn text(&mut self, field: TextField) -> &mut Option<Cow<'a, str>> {
        match field {
            TextField::Op => &mut self.op,
            TextField::RunId => &mut self.row().run_id,
            TextField::EventType => &mut self.row().event_type,
            TextField::AggregateType => &mut self.row().aggregate_type,
        }
    }

    fn source(&mut self) -> &mut EnvelopeSource {
        self.source.get_or_insert_default()
    }

    fn row(&mut self) -> &mut PartialRow<'a> {
        self.after.get_or_insert_default()
    }

    /// The event, when no field is missing.
    pub(super) fn into_envelope(self) -> Result<Envelope<'a>, ParseFailure> {
        Ok(Envelope {
            op: self.op.ok_or_else(|| missing("op"))?,
            after: self.after.map(PartialRow::into_after).transpose()?,
            source: self.source.ok_or_else(|| missing("source"))?,
            ts_ns: self.ts_ns,
            ts_ms: self.ts_ms,
        })
    }
}

impl<'a> PartialRow<'a> {
    fn into_after(self) -> Result<OutboxAfter<'a>, ParseFailure> {
        if !self.has_payload {
            return Err(missing("payload"));
        }
        Ok(OutboxAfter {
            id: self.id.ok_or_else(|| missing("id"))?,
            run_id: self.run_id.ok_or_else(|| missing("run_id"))?,
            seq: self.seq.ok_or_else(|| missing("seq"))?,
            event_type: self.event_type.ok_or_else(|| missing("event_type"))?,
            aggregate_type: self
                .aggregate_type
                .ok_or_else(|| missing("aggregate_type"))?,
            aggregate_id: self.aggregate_id.ok_or_else(|| missing("aggregate_id"))?,
            created_at_us: self.created_at_us.ok_or_else(|| missing("created_at"))?,
        })
    }
}
