//! Protobuf's binary form by a registry's schema, which is the text of a `.proto` file, as far as a record's outline and key need it.
//!
//! Source: Protobuf's documentation, "Encoding" and "Language specification"; Confluent's, "Wire format". A crate for all of Protobuf
//! would compile the file with a compiler of its own, which is more than the rest of this program's JSON and HTTP.

mod file;
mod read;
mod tokens;
mod wire;

pub(super) use file::ProtobufSchema;
