//! What a connector's configuration says of its records.

use std::collections::BTreeMap;

use cdc_bench_stack::{RegistryEndpoint, RegistryEndpointError};

use super::registry::Registry;

/// How records are to be read. The default recognises them by their bytes, and knows the names that Debezium uses when nothing else
/// is said.
#[derive(Debug, Clone, Default)]
pub struct RecordSettings {
    /// Of keys; values are recognised by their bytes.
    pub(super) key_converter: KeyConverter,
    /// The column of a key that is a single value.
    pub(super) key_column: Option<String>,
    /// The heartbeats' topics begin so, if not by Debezium's default.
    pub(super) heartbeat_prefix: Option<String>,
    pub(super) flattening: Option<Flattening>,
    /// The outbox table's column that `EventRouter` puts into the header `id`.
    pub(super) outbox_id: Option<String>,
    pub(super) registry: Option<Registry>,
}

/// Converters of keys whose bytes could be taken for something else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum KeyConverter {
    #[default]
    Unknown,
    /// `StringConverter`.
    Text,
    /// `LongConverter`, `IntegerConverter` and `ShortConverter`.
    Integer,
}

/// What `ExtractNewRecordState` adds to a row, and what it makes of a deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flattening {
    /// Name of a field or header, and the field of the envelope that it has: `__lsn`, `source.lsn`.
    pub added: Vec<AddedName>,
    /// Whether a deletion is a record without a value.
    pub tombstone_is_delete: bool,
}

/// A field or header that `ExtractNewRecordState` adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedName {
    pub name: String,
    /// Path in the envelope: `op`, `source.lsn`.
    pub origin: String,
}

impl RecordSettings {
    /// The settings for the records of a connector with this configuration.
    #[must_use]
    pub fn of_connector(config: &BTreeMap<String, String>) -> Self {
        let get = |key: &str| {
            let value = config.get(key).map(|value| value.trim());
            value.filter(|value| !value.is_empty() && !value.contains("${"))
        };
        let mut settings = Self {
            key_converter: get("key.converter").map_or(KeyConverter::Unknown, key_converter),
            heartbeat_prefix: get("topic.heartbeat.prefix")
                .or_else(|| get("heartbeat.topics.prefix"))
                .map(str::to_owned),
            ..Self::default()
        };
        let transforms = get("transforms").unwrap_or_default().split(',');
        for transform in transforms.map(str::trim) {
            let of = |key: &str| get(&format!("transforms.{transform}.{key}"));
            let class = of("type").and_then(|class| class.rsplit('.').next());
            match class {
                Some("ExtractNewRecordState") => settings.flattening = Some(flattening(of)),
                Some("EventRouter") => {
                    let column = of("table.field.event.id").unwrap_or("id");
                    settings.outbox_id = Some(column.to_owned());
                }
                Some("ExtractField$Key") => settings.key_column = of("field").map(str::to_owned),
                _ => {}
            }
        }
        settings
    }

    /// These settings for records that others have written, with converters of their own.
    #[must_use]
    pub fn of_any_converter(&self) -> Self {
        Self {
            key_converter: KeyConverter::Unknown,
            key_column: None,
            ..self.clone()
        }
    }

    /// The settings with the registry that schemas are of.
    ///
    /// # Errors
    /// When no client can be made of the endpoint's settings.
    pub fn with_registry(self, endpoint: RegistryEndpoint) -> Result<Self, RegistryEndpointError> {
        Ok(Self {
            registry: Some(Registry::new(endpoint)?),
            ..self
        })
    }

    /// The registry's address in a connector's configuration, as Connect reaches it; `None` where it may hold a secret.
    #[must_use]
    pub fn registry_of_connector(config: &BTreeMap<String, String>) -> Option<&str> {
        let names = ["schema.registry.url", "apicurio.registry.url"];
        let mut urls = ["value.converter", "key.converter"]
            .iter()
            .flat_map(|converter| {
                names
                    .iter()
                    .filter_map(move |name| config.get(&format!("{converter}.{name}")))
            });
        let url = urls.next()?.trim();
        (!url.is_empty() && !url.contains(['$', '@'])).then_some(url)
    }

    /// The names of fields that are worth keeping beside those of Debezium's defaults.
    pub(super) fn added_names(&self) -> impl Iterator<Item = &str> {
        let flattening = self.flattening.iter();
        flattening.flat_map(|flattening| flattening.added.iter().map(|added| &*added.name))
    }
}

fn key_converter(class: &str) -> KeyConverter {
    match class.rsplit('.').next().unwrap_or_default() {
        "StringConverter" => KeyConverter::Text,
        "LongConverter" | "IntegerConverter" | "ShortConverter" => KeyConverter::Integer,
        _ => KeyConverter::Unknown,
    }
}

fn flattening<'a>(of: impl Fn(&str) -> Option<&'a str>) -> Flattening {
    let mut added = Vec::new();
    for (list, prefix) in [
        ("add.fields", "add.fields.prefix"),
        ("add.headers", "add.headers.prefix"),
    ] {
        let prefix = of(prefix).unwrap_or("__");
        let names = of(list).unwrap_or_default().split(',');
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        added.extend(names.map(|name| added_name(name, prefix)));
    }
    Flattening {
        added,
        tombstone_is_delete: tombstone_is_delete(of),
    }
}

/// `source.lsn`, `lsn` and `lsn:position` all are `source.lsn`, under three names.
fn added_name(setting: &str, prefix: &str) -> AddedName {
    let (path, renamed) = match setting.split_once(':') {
        Some((path, renamed)) => (path, Some(renamed)),
        None => (setting, None),
    };
    let name = renamed.map_or_else(|| path.replace('.', "_"), str::to_owned);
    let origin = match path {
        "op" | "ts_ms" | "ts_us" | "ts_ns" => path.to_owned(),
        path if path.contains('.') => path.to_owned(),
        "id" | "data_collection_order" | "total_order" => format!("transaction.{path}"),
        field => format!("source.{field}"),
    };
    AddedName {
        name: format!("{prefix}{name}"),
        origin,
    }
}

/// Debezium 2.5 has one setting for what were two. Without either, a deletion leaves a tombstone alone, or, before, nothing.
fn tombstone_is_delete<'a>(of: impl Fn(&str) -> Option<&'a str>) -> bool {
    match (
        of("delete.tombstone.handling.mode"),
        of("delete.handling.mode"),
    ) {
        (Some(mode), _) => matches!(mode, "tombstone" | "delete-to-tombstone"),
        (None, Some("rewrite")) => false,
        (None, Some("drop")) => of("drop.tombstones") == Some("false"),
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> RecordSettings {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        RecordSettings::of_connector(&settings.iter().map(own).collect())
    }

    #[test]
    fn a_connector_without_transforms_is_recognised_by_its_bytes() {
        let settings = [
            (
                "key.converter",
                "org.apache.kafka.connect.json.JsonConverter",
            ),
            ("transforms", ""),
        ];
        let (settings, default) = (of(&settings), RecordSettings::default());
        assert_eq!(format!("{settings:?}"), format!("{default:?}"));
    }

    #[test]
    fn what_is_added_to_a_row_has_the_names_of_the_configuration() {
        let settings = of(&[
            ("transforms", "route, flat"),
            (
                "transforms.flat.type",
                "io.debezium.transforms.ExtractNewRecordState",
            ),
            (
                "transforms.flat.add.fields",
                "op, source.ts_ms,lsn:position,transaction.id",
            ),
            ("transforms.flat.add.fields.prefix", "cdc."),
            ("transforms.flat.add.headers", "table"),
        ]);
        let flattening = settings.flattening.unwrap();
        let added: Vec<_> = flattening
            .added
            .iter()
            .map(|a| (&*a.name, &*a.origin))
            .collect();
        assert_eq!(
            added,
            [
                ("cdc.op", "op"),
                ("cdc.source_ts_ms", "source.ts_ms"),
                ("cdc.position", "source.lsn"),
                ("cdc.transaction_id", "transaction.id"),
                ("__table", "source.table"),
            ]
        );
    }

    #[test]
    fn a_tombstone_is_a_deletion_where_nothing_else_is_left_of_it() {
        for (settings, expected) in [
            (&[][..], true),
            (&[("delete.tombstone.handling.mode", "tombstone")], true),
            (
                &[("delete.tombstone.handling.mode", "rewrite-with-tombstone")],
                false,
            ),
            (
                &[
                    ("delete.handling.mode", "rewrite"),
                    ("drop.tombstones", "false"),
                ],
                false,
            ),
            (
                &[
                    ("delete.handling.mode", "drop"),
                    ("drop.tombstones", "false"),
                ],
                true,
            ),
            (&[("delete.handling.mode", "none")], true),
        ] {
            let find = |key: &str| {
                settings
                    .iter()
                    .find(|(name, _)| *name == key)
                    .map(|(_, value)| *value)
            };
            assert_eq!(tombstone_is_delete(find), expected, "{settings:?}");
        }
    }

    #[test]
    fn the_registry_of_a_connector_is_found_unless_its_address_may_be_secret() {
        for (key, url, expected) in [
            (
                "value.converter.schema.registry.url",
                "http://sr:8081",
                Some("http://sr:8081"),
            ),
            (
                "key.converter.apicurio.registry.url",
                "http://a/apis/registry/v2",
                Some("http://a/apis/registry/v2"),
            ),
            (
                "value.converter.schema.registry.url",
                "http://u:p@sr:8081",
                None,
            ),
            (
                "value.converter.schema.registry.url",
                "${file:/x:url}",
                None,
            ),
            ("schema.registry.url", "http://sr:8081", None),
        ] {
            let config = BTreeMap::from([(key.to_owned(), url.to_owned())]);
            assert_eq!(RecordSettings::registry_of_connector(&config), expected);
        }
    }

    #[test]
    fn an_outbox_a_key_of_one_column_and_the_heartbeats_are_found() {
        let settings = of(&[
            (
                "key.converter",
                "org.apache.kafka.connect.storage.StringConverter",
            ),
            ("topic.heartbeat.prefix", "beat"),
            ("transforms", "outbox,key"),
            (
                "transforms.outbox.type",
                "io.debezium.transforms.outbox.EventRouter",
            ),
            ("transforms.outbox.table.field.event.id", "event_id"),
            (
                "transforms.key.type",
                "org.apache.kafka.connect.transforms.ExtractField$Key",
            ),
            ("transforms.key.field", "id"),
        ]);
        assert_eq!(settings.key_converter, KeyConverter::Text);
        assert_eq!(settings.heartbeat_prefix.as_deref(), Some("beat"));
        assert_eq!(settings.outbox_id.as_deref(), Some("event_id"));
        assert_eq!(settings.key_column.as_deref(), Some("id"));
    }
}
