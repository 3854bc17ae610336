//! Reads JSON values as the types of an event's fields.

use std::borrow::Cow;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::error::{ParseFailure, wrong};
use crate::json::JsonReader;
use cdc_bench_model::event::{USUAL_BYTES, unix_micros, usual_micros};

/// Reads an object; `member` reads or skips the value of each member.
pub(super) fn members<'a>(
    json: &mut JsonReader<'a>,
    mut member: impl FnMut(&str, &mut JsonReader<'a>) -> Result<(), ParseFailure>,
) -> Result<(), ParseFailure> {
    let mut more = json.begin(b'{', b'}')?;
    while more {
        // A name with half of a surrogate pair is not one that is read.
        json.peek()?;
        let name = json.text()?.unwrap_or_default();
        json.colon()?;
        member(&name, json)?;
        more = json.has_next(b'}')?;
    }
    Ok(())
}

pub(super) fn or_null<'a, T>(
    json: &mut JsonReader<'a>,
    read: impl FnOnce(&mut JsonReader<'a>) -> Result<T, ParseFailure>,
) -> Result<Option<T>, ParseFailure> {
    if json.peek()? == b'n' {
        json.literal("null")?;
        return Ok(None);
    }
    read(json).map(Some)
}

#[inline]
pub(super) fn must_be_string(
    json: &mut JsonReader<'_>,
    field: &'static str,
) -> Result<(), ParseFailure> {
    if json.peek()? == b'"' {
        return Ok(());
    }
    json.skip()?;
    Err(wrong(field, "no string".to_owned()))
}

#[inline]
pub(super) fn text<'a>(
    json: &mut JsonReader<'a>,
    field: &'static str,
) -> Result<Cow<'a, str>, ParseFailure> {
    must_be_string(json, field)?;
    let text = json.text()?;
    text.map_err(|error| wrong(field, format!("no text: {error}")))
}

pub(super) fn number<T: std::str::FromStr + TryFrom<u64>>(
    json: &mut JsonReader<'_>,
    field: &'static str,
) -> Result<T, ParseFailure> {
    json.peek()?;
    if let Some(number) = json.short_unsigned() {
        return Ok(number);
    }
    any_number(json, field)
}

pub(super) fn number_or_null<T: std::str::FromStr + TryFrom<u64>>(
    json: &mut JsonReader<'_>,
    field: &'static str,
) -> Result<Option<T>, ParseFailure> {
    json.peek()?;
    if let Some(number) = json.short_unsigned() {
        return Ok(Some(number));
    }
    or_null(json, |json| any_number(json, field))
}

#[cold]
fn any_number<T: std::str::FromStr>(
    json: &mut JsonReader<'_>,
    field: &'static str,
) -> Result<T, ParseFailure> {
    if !matches!(json.peek()?, b'-' | b'0'..=b'9') {
        json.skip()?;
        return Err(wrong(field, "no number".to_owned()));
    }
    let number = json.number()?;
    let parsed = number.text.parse();
    parsed.map_err(|_| wrong(field, format!("{}, which it cannot be", number.text)))
}

#[inline]
pub(super) fn uuid(json: &mut JsonReader<'_>, field: &'static str) -> Result<Uuid, ParseFailure> {
    json.peek()?;
    let hyphenated = |text: &[u8; Hyphenated::LENGTH]| Uuid::try_parse_ascii(text).ok();
    if let Some(id) = json.string_of(hyphenated) {
        return Ok(id);
    }
    let text = text(json, field)?;
    Uuid::try_parse(&text).map_err(|error| wrong(field, format!("{text:?}, no UUID: {error}")))
}

#[inline]
pub(super) fn instant_us(
    json: &mut JsonReader<'_>,
    field: &'static str,
) -> Result<i64, ParseFailure> {
    json.peek()?;
    if let Some(us) = json.string_of(|text: &[u8; USUAL_BYTES]| usual_micros(text)) {
        return Ok(us);
    }
    let text = text(json, field)?;
    unix_micros(&text).map_err(|error| wrong(field, format!("{text:?}, no timestamp: {error}")))
}
