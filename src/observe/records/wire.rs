//! How a key or value says which schema of a registry it is of.
//!
//! Source: Confluent's documentation, "Wire format"; Apicurio's serializers, whose ids are in headers or eight bytes long.

use std::fmt;

use super::record::RawRecord;

/// A schema of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SchemaId {
    /// By the id that Confluent's interface has; Apicurio calls it that of the content.
    Number(u64),
    /// By the id that Apicurio calls global.
    Global(u64),
    /// By the GUID that Confluent's registry has since version 8.
    Guid([u8; 16]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => write!(f, "id {id}"),
            Self::Global(id) => write!(f, "global id {id}"),
            Self::Guid(guid) => write!(f, "GUID {}", guid_text(guid)),
        }
    }
}

/// A GUID as it is written.
pub(super) fn guid_text(guid: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*guid).to_string()
}

/// Which part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Key,
    Value,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// What the bytes of a key or value are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Framed<'a> {
    /// JSON or a text.
    Plain(&'a [u8]),
    /// Of a schema.
    Registered { id: SchemaId, body: &'a [u8] },
    /// Of a schema that cannot be had here, and why.
    Unsupported(&'static str),
}

impl<'a> Framed<'a> {
    /// What these bytes of a record are.
    pub fn of(side: Side, bytes: &'a [u8], record: &RawRecord<'a>) -> Self {
        let header = |name: &str| {
            let found = record
                .headers
                .iter()
                .rev()
                .find(|(header, _)| *header == name);
            found.and_then(|(_, value)| *value)
        };
        let registered = |id: SchemaId| Self::Registered { id, body: bytes };
        let apicurio = |name: &str| {
            Some(u64::from_be_bytes(
                header(&format!("apicurio.{side}.{name}"))?
                    .try_into()
                    .ok()?,
            ))
        };
        let id = apicurio("contentId")
            .map(SchemaId::Number)
            .or_else(|| apicurio("globalId").map(SchemaId::Global));
        if let Some(id) = id {
            let encoding = header(&format!("apicurio.{side}.encoding"));
            return match encoding {
                Some(b"JSON") => Self::Unsupported(
                    "Avro as JSON is not read; its converter writes binary with apicurio.registry.avro.encoding=BINARY",
                ),
                _ => registered(id),
            };
        }
        match header(&format!("__{side}_schema_id")) {
            Some([0, id @ ..]) => {
                if let Ok(id) = id.try_into() {
                    return registered(SchemaId::Number(u32::from_be_bytes(id).into()));
                }
            }
            // Of Protobuf, the message's place in its file follows.
            Some([1, id @ ..]) => {
                if let Some(guid) = id.first_chunk() {
                    return registered(SchemaId::Guid(*guid));
                }
            }
            _ => {}
        }
        match bytes {
            // No registry has a schema 0: these are the first half of eight bytes.
            [0, 0, 0, 0, 0, rest @ ..] if rest.len() >= 4 => {
                let (low, body) = rest.split_at(4);
                let id = low.iter().fold(0, |id, &byte| id << 8 | u64::from(byte));
                Self::Registered {
                    id: SchemaId::Global(id),
                    body,
                }
            }
            [0, a, b, c, d, body @ ..] if (*a, *b, *c, *d) != (0, 0, 0, 0) => Self::Registered {
                id: SchemaId::Number(u32::from_be_bytes([*a, *b, *c, *d]).into()),
                body,
            },
            [3, 0 | 5, rest @ ..] if rest.len() >= 16 => {
                Self::Unsupported("its schema is in AWS Glue's registry, which is not asked")
            }
            _ => Self::Plain(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed<'a>(
        side: Side,
        bytes: &'a [u8],
        headers: &'a [(&'a str, Option<&'a [u8]>)],
    ) -> Framed<'a> {
        let record = RawRecord {
            topic: "t",
            key: None,
            value: None,
            headers,
        };
        Framed::of(side, bytes, &record)
    }

    #[test]
    fn the_id_is_before_the_value_or_in_a_header() {
        let number = |id, body| Framed::Registered {
            id: SchemaId::Number(id),
            body,
        };
        assert_eq!(
            framed(Side::Value, b"\0\0\0\x01\x02abc", &[]),
            number(258, b"abc")
        );
        assert_eq!(framed(Side::Key, b"\0\0\0\0\x01", &[]), number(1, b""));
        let global = Framed::Registered {
            id: SchemaId::Global(258),
            body: b"abc",
        };
        assert_eq!(
            framed(Side::Value, b"\0\0\0\0\0\0\0\x01\x02abc", &[]),
            global
        );
        let headers: &[(&str, Option<&[u8]>)] = &[
            ("apicurio.value.encoding", Some(b"BINARY")),
            ("apicurio.value.contentId", Some(b"\0\0\0\0\0\0\0\x07")),
            ("apicurio.key.globalId", Some(b"\0\0\0\0\0\0\0\x08")),
        ];
        assert_eq!(framed(Side::Value, b"abc", headers), number(7, b"abc"));
        let global = Framed::Registered {
            id: SchemaId::Global(8),
            body: b"abc",
        };
        assert_eq!(framed(Side::Key, b"abc", headers), global);
        let guid: Vec<u8> = (1..=17).collect();
        let headers: &[(&str, Option<&[u8]>)] = &[("__value_schema_id", Some(&guid))];
        let Framed::Registered { id, body } = framed(Side::Value, b"abc", headers) else {
            panic!("a schema's");
        };
        assert_eq!(
            (id.to_string().as_str(), body),
            ("GUID 02030405-0607-0809-0a0b-0c0d0e0f1011", &b"abc"[..])
        );
    }

    #[test]
    fn json_texts_and_numbers_are_plain() {
        for bytes in [
            &b"{}"[..],
            b"text",
            b"",
            b"\0\0\0\x07",
            b"\0\0\0\0\0\0\0\x07",
        ] {
            assert_eq!(framed(Side::Key, bytes, &[]), Framed::Plain(bytes));
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let glue = b"\x03\x00aaaaaaaaaaaaaaaabody";
        assert!(
            matches!(framed(Side::Value, glue, &[]), Framed::Unsupported(why) if why.contains("Glue"))
        );
        let headers: &[(&str, Option<&[u8]>)] = &[
            ("apicurio.value.encoding", Some(b"JSON")),
            ("apicurio.value.contentId", Some(b"\0\0\0\0\0\0\0\x07")),
        ];
        assert!(
            matches!(framed(Side::Value, b"{}", headers), Framed::Unsupported(why) if why.contains("encoding"))
        );
    }
}
