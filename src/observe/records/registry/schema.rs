//! A registered schema, and what is decoded by it.

use serde_json::Value;

use crate::observe::records::avro::AvroSchema;
use crate::observe::records::json;
use crate::observe::records::key::Key;
use crate::observe::records::outline::{Part, Selection};
use crate::observe::records::protobuf::ProtobufSchema;

/// A schema's text as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RegisteredSchema {
    pub kind: SchemaKind,
    pub text: String,
    /// Those that it uses, by the name that it uses them by; each after those that it uses itself.
    pub references: Vec<(String, String)>,
}

/// What a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SchemaKind {
    Avro,
    JsonSchema,
    Protobuf,
}

/// A schema that records are decoded by.
#[derive(Debug)]
pub(in crate::observe::records) enum Schema {
    Avro(AvroSchema),
    Protobuf(ProtobufSchema),
    /// The values are JSON.
    Json,
}

/// Why bytes are not read by their schema.
const OTHER_BYTES: &str = "its bytes are not of the schema that it names";

impl Schema {
    pub(super) fn parse(registered: &RegisteredSchema) -> Result<Self, String> {
        let references = registered.references.iter();
        let references: Vec<_> = references.map(|(_, text)| text.clone()).collect();
        match registered.kind {
            SchemaKind::Avro => AvroSchema::parse(&registered.text, &references).map(Self::Avro),
            SchemaKind::Protobuf => {
                ProtobufSchema::parse(&registered.text, &references).map(Self::Protobuf)
            }
            SchemaKind::JsonSchema => Ok(Self::Json),
        }
    }

    /// The outline of a value of this schema.
    pub fn outline(&self, bytes: &[u8], selection: Selection<'_>) -> Result<Part, String> {
        let part = match self {
            Self::Avro(schema) => schema.outline(bytes, selection).ok(),
            Self::Protobuf(schema) => schema.outline(bytes, selection).ok(),
            Self::Json => json::outline(bytes, selection),
        };
        part.ok_or_else(|| OTHER_BYTES.to_owned())
    }

    /// A key of this schema.
    pub fn key(&self, bytes: &[u8]) -> Result<Key, String> {
        let value: Option<Value> = match self {
            Self::Avro(schema) => schema.value(bytes).ok(),
            Self::Protobuf(schema) => schema.value(bytes).ok(),
            Self::Json => serde_json::from_slice(bytes).ok(),
        };
        value
            .map(Key::of_json)
            .ok_or_else(|| OTHER_BYTES.to_owned())
    }
}
