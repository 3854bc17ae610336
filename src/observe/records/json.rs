//! The outline of a JSON text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::outline::{LONGEST_TEXT, Outline, Part, Selection, Treatment};

/// What the text is, an object by its outline; `None` if it is not JSON.
pub(super) fn outline(text: &[u8], selection: Selection<'_>) -> Option<Part> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let part = PartSeed(Some(selection)).deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(part)
}

/// Reads a value; of an object what the selection says, or nothing.
struct PartSeed<'a>(Option<Selection<'a>>);

impl<'de> DeserializeSeed<'de> for PartSeed<'_> {
    type Value = Part;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Part, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PartSeed<'_> {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Part, E> {
        Ok(Part::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Part, E> {
        Ok(Part::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Part, E> {
        Ok(Part::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Part, E> {
        Ok(i64::try_from(number).map_or(Part::Skipped, Part::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Part, E> {
        Ok(Part::Skipped)
    }

    fn visit_str<E>(self, text: &str) -> Result<Part, E> {
        Ok(if text.len() <= LONGEST_TEXT {
            Part::Text(text.to_owned())
        } else {
            Part::Skipped
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Part, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Part::Skipped)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Part, A::Error> {
        let Some(selection) = self.0 else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Part::SkippedObject);
        };
        let mut outline = Outline::default();
        while let Some(kept) = members.next_key_seed(NameSeed(selection))? {
            outline.members += 1;
            match kept {
                None => drop(members.next_value::<IgnoredAny>()?),
                Some((name, within)) => {
                    let part = members.next_value_seed(PartSeed(within))?;
                    outline.push(name, part);
                }
            }
        }
        Ok(Part::Fields(outline))
    }
}

/// Reads a member's name: with the selection of its members, if it is kept.
struct NameSeed<'a>(Selection<'a>);

impl<'de, 'a> DeserializeSeed<'de> for NameSeed<'a> {
    type Value = Option<(String, Option<Selection<'a>>)>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for NameSeed<'a> {
    type Value = Option<(String, Option<Selection<'a>>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(match self.0.of(name) {
            Treatment::Leave => None,
            Treatment::Keep => Some((name.to_owned(), None)),
            Treatment::Enter(within) => Some((name.to_owned(), Some(within))),
        })
    }
}
