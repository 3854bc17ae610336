//! Avro's binary form, as far as a record's outline and key need it: by its schema, the rest skipped.
//!
//! Source: the Avro specification, "Schema declaration" and "Binary encoding". A crate for all of Avro would read every value into a
//! tree of its own, and bring some twenty others to compile.

mod bytes;
mod key;
mod outline;
mod schema;

pub(super) use schema::AvroSchema;
