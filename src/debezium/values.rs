//! The values of a change event that are asked for, as they are found in its JSON.

use std::borrow::Cow;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::envelope::{Envelope, Kind, OutboxAfter, Source};
use super::shape::Trace;
use crate::json::{NotJson, Reader};
use cdc_bench_model::event::{EventId, USUAL_BYTES, unix_micros, usual_micros};

/// What stops the reading. It is seldom, and small: every value on its way up is moved about with room for it.
pub(super) enum Flaw {
    /// The reader knows where.
    NotJson,
    Of(Box<Kind>),
}

impl From<NotJson> for Flaw {
    fn from(NotJson: NotJson) -> Self {
        Self::NotJson
    }
}

fn missing(field: &'static str) -> Flaw {
    Flaw::Of(Box::new(Kind::Missing(field)))
}

fn wrong(field: &'static str, found: String) -> Flaw {
    Flaw::Of(Box::new(Kind::Field { field, found }))
}

/// Reads the string that is the row's payload.
pub(super) trait ReadPayload<'a>: FnMut(&mut Reader<'a>) -> Result<(), NotJson> {}

impl<'a, F: FnMut(&mut Reader<'a>) -> Result<(), NotJson>> ReadPayload<'a> for F {}

/// A value that is read.
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

/// A value that is a text, and one of a few in most events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextField {
    Op,
    RunId,
    EventType,
    AggregateType,
}

impl TextField {
    fn name(self) -> &'static str {
        match self {
            Self::Op => "op",
            Self::RunId => "run_id",
            Self::EventType => "event_type",
            Self::AggregateType => "aggregate_type",
        }
    }
}

/// The values of an event, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    op: Option<Cow<'a, str>>,
    ts_ns: Option<i64>,
    ts_ms: Option<i64>,
    source: Option<Source>,
    after: Option<Row<'a>>,
}

/// Of them, those of the row.
#[derive(Debug, Default)]
struct Row<'a> {
    id: Option<EventId>,
    run_id: Option<Cow<'a, str>>,
    seq: Option<u64>,
    event_type: Option<Cow<'a, str>>,
    aggregate_type: Option<Cow<'a, str>>,
    aggregate_id: Option<Uuid>,
    has_payload: bool,
    created_at_us: Option<i64>,
}

impl<'a> Values<'a> {
    /// Reads an event, with the converter's schemas or without.
    pub(super) fn read(
        json: &mut Reader<'a>,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut Trace,
    ) -> Result<Self, Flaw> {
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
                // With schemas.enable the converter wraps the event.
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
                trace.disregard(of_outer.start..of_inner.start);
                trace.disregard(of_inner.end..of_outer.end);
                return Ok(inner);
            }
            trace.disregard(of_inner);
        }
        Ok(values)
    }

    fn read_row(
        &mut self,
        json: &mut Reader<'a>,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut Trace,
    ) -> Result<(), Flaw> {
        if self.after.take().is_some() {
            trace.give_up();
        }
        let row = or_null(json, |json| {
            self.after = Some(Row::default());
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
        json: &mut Reader<'a>,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut Trace,
    ) -> Result<(), Flaw> {
        if self.source.replace(Source::default()).is_some() {
            trace.give_up();
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

    /// Reads a value of the event, or passes over one that is none of these.
    fn read_member(
        &mut self,
        field: Option<Field>,
        json: &mut Reader<'a>,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut Trace,
    ) -> Result<(), Flaw> {
        json.peek()?;
        let begin = json.at();
        match field {
            Some(field) => self.read_field(field, json, payload)?,
            None => json.skip()?,
        }
        trace.value(field, begin..json.at());
        Ok(())
    }

    /// Reads the value of a field.
    #[inline]
    pub(super) fn read_field(
        &mut self,
        field: Field,
        json: &mut Reader<'a>,
        payload: &mut impl ReadPayload<'a>,
    ) -> Result<(), Flaw> {
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

    fn source(&mut self) -> &mut Source {
        self.source.get_or_insert_default()
    }

    fn row(&mut self) -> &mut Row<'a> {
        self.after.get_or_insert_default()
    }

    /// The event, when nothing of it is missing.
    pub(super) fn into_envelope(self) -> Result<Envelope<'a>, Flaw> {
        Ok(Envelope {
            op: self.op.ok_or_else(|| missing("op"))?,
            after: self.after.map(Row::into_after).transpose()?,
            source: self.source.ok_or_else(|| missing("source"))?,
            ts_ns: self.ts_ns,
            ts_ms: self.ts_ms,
        })
    }
}

impl<'a> Row<'a> {
    fn into_after(self) -> Result<OutboxAfter<'a>, Flaw> {
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

/// Goes through an object's members; `member` reads or passes over each one's value.
fn members<'a>(
    json: &mut Reader<'a>,
    mut member: impl FnMut(&str, &mut Reader<'a>) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    let mut more = json.begin(b'{', b'}')?;
    while more {
        // A name with half a surrogate in it is none that is looked for.
        json.peek()?;
        let name = json.text()?.unwrap_or_default();
        json.colon()?;
        member(&name, json)?;
        more = json.goes_on(b'}')?;
    }
    Ok(())
}

fn or_null<'a, T>(
    json: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Flaw>,
) -> Result<Option<T>, Flaw> {
    if json.peek()? == b'n' {
        json.literal("null")?;
        return Ok(None);
    }
    read(json).map(Some)
}

fn must_be_string(json: &mut Reader<'_>, field: &'static str) -> Result<(), Flaw> {
    if json.peek()? == b'"' {
        return Ok(());
    }
    json.skip()?;
    Err(wrong(field, "no string".to_owned()))
}

fn text<'a>(json: &mut Reader<'a>, field: &'static str) -> Result<Cow<'a, str>, Flaw> {
    must_be_string(json, field)?;
    let text = json.text()?;
    text.map_err(|error| wrong(field, format!("no text: {error}")))
}

fn number<T: std::str::FromStr + TryFrom<u64>>(
    json: &mut Reader<'_>,
    field: &'static str,
) -> Result<T, Flaw> {
    json.peek()?;
    if let Some(number) = json.short_unsigned() {
        return Ok(number);
    }
    any_number(json, field)
}

fn number_or_null<T: std::str::FromStr + TryFrom<u64>>(
    json: &mut Reader<'_>,
    field: &'static str,
) -> Result<Option<T>, Flaw> {
    json.peek()?;
    if let Some(number) = json.short_unsigned() {
        return Ok(Some(number));
    }
    or_null(json, |json| any_number(json, field))
}

#[cold]
fn any_number<T: std::str::FromStr>(json: &mut Reader<'_>, field: &'static str) -> Result<T, Flaw> {
    if !matches!(json.peek()?, b'-' | b'0'..=b'9') {
        json.skip()?;
        return Err(wrong(field, "no number".to_owned()));
    }
    let number = json.number()?;
    let parsed = number.text.parse();
    parsed.map_err(|_| wrong(field, format!("{}, which it cannot be", number.text)))
}

fn uuid(json: &mut Reader<'_>, field: &'static str) -> Result<Uuid, Flaw> {
    json.peek()?;
    let hyphenated = |text: &[u8; Hyphenated::LENGTH]| Uuid::try_parse_ascii(text).ok();
    if let Some(id) = json.string_of(hyphenated) {
        return Ok(id);
    }
    let text = text(json, field)?;
    Uuid::try_parse(&text).map_err(|error| wrong(field, format!("{text:?}, no UUID: {error}")))
}

fn instant_us(json: &mut Reader<'_>, field: &'static str) -> Result<i64, Flaw> {
    json.peek()?;
    if let Some(us) = json.string_of(|text: &[u8; USUAL_BYTES]| usual_micros(text)) {
        return Ok(us);
    }
    let text = text(json, field)?;
    unix_micros(&text).map_err(|error| wrong(field, format!("{text:?}, no timestamp: {error}")))
}
