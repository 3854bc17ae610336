//! Records as connectors write them, read for what identifies and times a change.
//!
//! A key or value is read in two steps. Its *encoding* (JSON, Avro, Protobuf; `wire` tells which, by what schema of a [`registry`]) gives an [`outline::Outline`]: the few fields that matter,
//! everything else skipped. Its *form* is what a connector and its transforms made of the change (`form/`): Debezium's envelope, the
//! row alone by `ExtractNewRecordState`, an outbox event by `EventRouter`, a CloudEvent, or no change at all. Both are recognised by
//! the bytes; what a connector's configuration adds, such as names of fields, is in [`RecordSettings`].

mod avro;
mod decoder;
mod form;
mod header;
mod json;
mod key;
mod outline;
mod protobuf;
mod record;
mod registry;
mod settings;
mod wire;

pub use decoder::{RecordDecoder, RecordError, Written, WrittenRow};
pub(in crate::observe) use header::header;
pub use key::canonical_key;
pub use record::{NotAChange, Observed, RawRecord, RecordChange};
pub use registry::RegistryError;
pub use settings::RecordSettings;
