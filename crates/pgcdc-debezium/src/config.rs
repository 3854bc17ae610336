//! Configuration of the events.

use pgcdc::TableName;

use super::number::Decimals;

/// Configuration of the events, by the names of Debezium's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeConfig {
    /// `topic.prefix`: the first part of topic names, and `source.name`.
    pub name: String,
    /// Name of the database: `source.db`.
    pub database: String,
    /// `source.version`.
    pub version: String,
    /// `decimal.handling.mode`.
    pub decimals: Decimals,
    /// `money.fraction.digits`: the scale of `money` with [`Decimals::Precise`]. Amounts of a locale with more decimals are
    /// rounded.
    pub money_fraction_digits: u8,
    /// `tombstones.on.delete`: whether a delete is followed by a record without a value.
    pub tombstones: bool,
    /// `provide.transaction.metadata`: whether events carry their transaction.
    pub transactions: bool,
    /// `message.key.columns`: tables whose records have a key of other columns than those of the primary key.
    pub message_keys: Vec<MessageKey>,
}

/// The columns of the key of a table's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageKey {
    /// The table, by its full name; unlike Debezium's it is no pattern.
    pub table: TableName,
    /// Columns, in the order that the key has them in. One that the table does not have is left out.
    pub columns: Vec<String>,
}

impl EnvelopeConfig {
    /// Debezium's defaults, with this topic prefix.
    #[must_use]
    pub fn new(name: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            database: database.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            decimals: Decimals::default(),
            money_fraction_digits: 2,
            tombstones: true,
            transactions: false,
            message_keys: Vec::new(),
        }
    }
}
