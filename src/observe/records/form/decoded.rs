//! A record of which every form is tried.

use crate::observe::records::key::Key;
use crate::observe::records::record::RawRecord;
use crate::observe::records::settings::RecordSettings;

/// A record whose key and value are decoded.
pub(in crate::observe::records) struct Decoded<'a> {
    pub record: RawRecord<'a>,
    pub key: Key,
    pub settings: &'a RecordSettings,
}

impl Decoded<'_> {
    pub fn canonical_key(&self) -> String {
        self.key
            .clone()
            .into_canonical(self.settings.key_column.as_deref())
    }
}
