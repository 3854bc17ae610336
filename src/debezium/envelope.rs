//! Debezium's change event as its JsonConverter writes it, read without copying what needs no copy.
//!
//! Source of the fields: Debezium's documentation, "PostgreSQL connector: Data change events".

use std::borrow::Cow;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::shape::{Shape, Trace};
use crate::event::{EventId, USUAL_BYTES, unix_micros, usual_micros};
use crate::json::{NotJson, Reader, TextBuffer};
use crate::timeline::Stamp;

/// A change event of the outbox table.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<'a> {
    /// `c`reate, `u`pdate, `d`elete, `r`ead (snapshot), `t`runcate, `m`essage.
    pub op: Cow<'a, str>,
    /// The row after the change.
    pub after: Option<OutboxAfter<'a>>,
    /// Where it came from.
    pub source: Source,
    /// When Debezium made this event, nanoseconds since the Unix epoch, on Connect's clock (microseconds in truth).
    pub ts_ns: Option<i64>,
    /// The same in milliseconds, in every version of Debezium.
    pub ts_ms: Option<i64>,
}

/// Where a change came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Source {
    /// Position of the row in the WAL.
    pub lsn: Option<u64>,
    /// Transaction.
    pub tx_id: Option<u64>,
}

/// A row of the outbox as Debezium writes it, but for its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxAfter<'a> {
    /// Primary key.
    pub id: EventId,
    /// The run that made it.
    pub run_id: Cow<'a, str>,
    /// Its position in that run.
    pub seq: u64,
    /// What happened.
    pub event_type: Cow<'a, str>,
    /// To what kind of thing.
    pub aggregate_type: Cow<'a, str>,
    /// To which one.
    pub aggregate_id: Uuid,
    /// Microseconds since the Unix epoch; `timestamptz` is `io.debezium.time.ZonedTimestamp`, an ISO 8601 text.
    pub created_at_us: i64,
}

/// A value that is no change event of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a Debezium change event of the outbox table: {0}")]
pub struct EnvelopeError(Box<Kind>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Kind {
    #[error("not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    #[error("no JSON at byte {0}")]
    NotJson(usize),
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("{field} is {found}")]
    Field { field: &'static str, found: String },
}

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

impl<'a> Envelope<'a> {
    /// Reads a record's value, with the converter's schemas or without. The row's payload is left in `payload`: `jsonb` is
    /// `io.debezium.data.Json`, a string that holds the event as a JSON text.
    ///
    /// # Errors
    /// When it is not JSON, or lacks a field, or a field is not what it must be.
    pub fn parse(value: &'a [u8], payload: &mut TextBuffer) -> Result<Self, EnvelopeError> {
        let mut payload = |json: &mut Reader<'a>| json.resolved_into(payload);
        Self::parse_text(utf8(value)?, &mut payload, &mut Trace::none())
    }

    fn parse_text(
        text: &'a str,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut Trace,
    ) -> Result<Self, EnvelopeError> {
        let mut json = Reader::new(text);
        let mut whole = || {
            let values = Values::read(&mut json, payload, trace)?;
            json.end()?;
            values.into_envelope()
        };
        whole().map_err(|flaw| match flaw {
            Flaw::NotJson => EnvelopeError(Box::new(Kind::NotJson(json.at()))),
            Flaw::Of(kind) => EnvelopeError(kind),
        })
    }

    /// The row, where this is an insert (or a row read by a snapshot).
    #[must_use]
    pub fn into_inserted(self) -> Option<OutboxAfter<'a>> {
        if matches!(&*self.op, "c" | "r") {
            self.after
        } else {
            None
        }
    }

    /// Td: when Debezium handed the event on, on Connect's clock.
    #[must_use]
    pub fn handed_on(&self) -> Option<Stamp> {
        self.ts_ns
            .or_else(|| self.ts_ms?.checked_mul(1_000_000))
            .map(Stamp)
    }
}

/// Reads the string that is the row's payload.
pub(super) trait ReadPayload<'a>: FnMut(&mut Reader<'a>) -> Result<(), NotJson> {}

impl<'a, F: FnMut(&mut Reader<'a>) -> Result<(), NotJson>> ReadPayload<'a> for F {}

/// Reads event after event, and takes each to be like the one before: what nobody asks for, names above all, is compared
/// with it rather than read.
#[derive(Debug, Default)]
pub(crate) struct EnvelopeReader {
    pub(super) shape: Shape,
    trace: Trace,
}

impl EnvelopeReader {
    /// As [`Envelope::parse`], with `payload` to read the string that is the row's payload; it may be asked twice.
    ///
    /// # Errors
    /// As [`Envelope::parse`].
    pub(crate) fn read<'a>(
        &mut self,
        value: &'a [u8],
        mut payload: impl FnMut(&mut Reader<'a>) -> Result<(), NotJson>,
    ) -> Result<Envelope<'a>, EnvelopeError> {
        let text = utf8(value)?;
        let alike = self.shape.read(text, &mut payload);
        if let Some(envelope) = alike.and_then(|values| values.into_envelope().ok()) {
            return Ok(envelope);
        }
        self.trace.begin();
        let envelope = Envelope::parse_text(text, &mut payload, &mut self.trace)?;
        if envelope.after.is_some() {
            self.shape.learn(text, &self.trace);
        }
        Ok(envelope)
    }
}

fn utf8(value: &[u8]) -> Result<&str, EnvelopeError> {
    // compat: an error is to say where it is.
    simdutf8::compat::from_utf8(value)
        .map_err(|error| EnvelopeError(Box::new(Kind::NotUtf8(error.valid_up_to()))))
}

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
    fn read(
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

    fn into_envelope(self) -> Result<Envelope<'a>, Flaw> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVENT: &str = r#"{"before":null,"after":{"id":"0199a1b2-0000-7000-8000-000000000001","run_id":"r-1","seq":41,"event_type":"UserCreated",
        "aggregate_type":"user","aggregate_id":"0199a1b2-0000-7000-8000-000000000002","payload":"{\"name\": \"A \\\"B\\\" C\"}","created_at":"2026-11-24T02:11:33.123456Z"},
        "source":{"version":"3.6.0.Final","connector":"postgresql","name":"postgres","ts_ms":1,"snapshot":"false","db":"activity_db","sequence":"[null,\"1\"]",
        "schema":"activity","table":"event_outbox","txId":771,"lsn":24023128,"xmin":null},"transaction":null,"op":"c","ts_ms":1795486293500,"ts_us":1795486293500123,"ts_ns":1795486293500123456}"#;

    fn parse(value: &[u8]) -> Result<Envelope<'_>, EnvelopeError> {
        Envelope::parse(value, &mut TextBuffer::default())
    }

    #[test]
    fn an_insert_is_read_without_copying_plain_text() {
        let mut payload = TextBuffer::default();
        let envelope = Envelope::parse(EVENT.as_bytes(), &mut payload).unwrap();
        assert_eq!(
            envelope.source,
            Source {
                lsn: Some(24_023_128),
                tx_id: Some(771)
            }
        );
        assert_eq!(envelope.handed_on(), Some(Stamp(1_795_486_293_500_123_456)));
        let row = envelope.into_inserted().unwrap();
        assert_eq!(
            (row.seq, payload.as_str()),
            (41, r#"{"name": "A \"B\" C"}"#)
        );
        assert!(matches!(row.run_id, Cow::Borrowed("r-1")));
        assert_eq!(row.created_at_us, 1_795_486_293_123_456);
    }

    #[test]
    fn the_converters_schema_is_looked_through() {
        let wrapped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{EVENT}}}"#);
        assert_eq!(
            parse(wrapped.as_bytes()).unwrap(),
            parse(EVENT.as_bytes()).unwrap()
        );
    }

    #[test]
    fn what_is_no_insert_is_told_apart() {
        let delete = r#"{"op":"d","after":null,"source":{"lsn":1,"txId":2}}"#;
        assert!(parse(delete.as_bytes()).unwrap().into_inserted().is_none());
    }

    #[test]
    fn names_may_be_spelled_with_escapes_and_come_in_any_order() {
        let spelled = EVENT.replacen("\"after\"", "\"\\u0061fter\"", 1);
        assert_eq!(
            parse(spelled.as_bytes()).unwrap(),
            parse(EVENT.as_bytes()).unwrap()
        );
        let turned = r#"{"source":{"txId":2,"ts_ms":[{}]},"ts_ms":7,"op":"d","after":null}"#;
        let envelope = parse(turned.as_bytes()).unwrap();
        assert_eq!(envelope.source.tx_id, Some(2));
        assert_eq!(envelope.handed_on(), Some(Stamp(7_000_000)));
    }

    #[test]
    fn an_error_names_the_field() {
        let damaged = EVENT.replace("\"seq\":41,", "");
        let error = parse(damaged.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("missing field `seq`"), "{error}");
        let error = parse(EVENT.replace("2026-11-24T", "yesterday").as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("created_at"), "{error}");
        for (from, to, says) in [
            ("\"seq\":41", "\"seq\":-1", "seq is -1"),
            ("\"seq\":41", "\"seq\":\"41\"", "seq is no number"),
            ("\"UserCreated\"", "{}", "event_type is no string"),
            ("0000000001\"", "01\"", "no UUID"),
            ("\"lsn\":24023128", "\"lsn\":024", "no JSON at byte"),
        ] {
            let error = parse(EVENT.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        let error = parse(b"{\"op\":\"\xff\"}").unwrap_err();
        assert!(
            error.to_string().contains("not UTF-8 from byte 7"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_damaged_event_makes_the_parser_panic(at in 0..EVENT.len(), byte in any::<u8>(), cut in 0..EVENT.len()) {
            let mut bytes = EVENT.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes);
            let _ = parse(&bytes[..cut]);
        }
    }
}
