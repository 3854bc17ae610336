//! Whether a connector that is registered feeds a topic with the changes of the outbox: by its class, database, tables and
//! routing.

use std::collections::BTreeMap;

use cdc_bench_model::event::{SCHEMA, TABLE};
use regex::RegexBuilder;

use super::connector::CONNECTOR_CLASS;
use super::topic_route::{TopicRoute, is_placeholder, topic_route};

/// The database whose outbox is to be captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDatabase {
    /// Addresses under which it is known: ours, and Connect's where that is known.
    pub addresses: Vec<(String, u16)>,
    /// Its name.
    pub database: String,
    /// The replication slots of this database.
    pub slots: Vec<String>,
    /// The publications of this database, each with what keeps inserted rows of the outbox from its subscribers.
    pub publications: BTreeMap<String, Option<String>>,
}

/// What a connector's configuration says about feeding a topic. Each text is part of a sentence about the connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feeding {
    /// It feeds it, and how that is known.
    Yes(String),
    /// Nothing speaks against it, and what is not known.
    Doubtful(String),
    /// It does not, and why.
    No(String),
}

/// The slot of a connector that names none.
const DEFAULT_SLOT: &str = "debezium";
/// The publication of a connector that names none.
const DEFAULT_PUBLICATION: &str = "dbz_publication";
/// The plugin of a connector that names none: it reads no publication.
const DEFAULT_PLUGIN: &str = "decoderbufs";

/// The topic that a connector of this configuration writes the outbox to, as far as can be told.
#[must_use]
pub fn outbox_topic(config: &BTreeMap<String, String>) -> Option<String> {
    match topic_route(config, SCHEMA, TABLE) {
        TopicRoute::Envelopes(topic) | TopicRoute::Doubtful(topic, _) => Some(topic),
        TopicRoute::NoEnvelopes(_) => None,
    }
}

/// Whether a connector of this configuration feeds `topic` with the outbox of `source`.
#[must_use]
pub fn feeding(config: &BTreeMap<String, String>, source: &SourceDatabase, topic: &str) -> Feeding {
    let get = |key: &str| config.get(key).map(String::as_str);
    let class = get("connector.class").unwrap_or_default();
    if !is_postgres_connector(config) {
        return Feeding::No(format!("it is a {class}"));
    }
    let mut doubts = Vec::new();
    match captures_table(config, SCHEMA, TABLE) {
        TableCapture::Yes => {}
        TableCapture::No(why) => return Feeding::No(why),
        TableCapture::Unknown(what) => doubts.push(what),
    }
    match topic_route(config, SCHEMA, TABLE) {
        TopicRoute::NoEnvelopes(why) => return Feeding::No(why),
        TopicRoute::Envelopes(found) if found != topic => {
            return Feeding::No(format!("it writes the outbox to topic {found}"));
        }
        TopicRoute::Envelopes(_) => {}
        TopicRoute::Doubtful(_, doubt) => doubts.push(doubt),
    }
    let database = get("database.dbname").unwrap_or_default();
    if is_placeholder(database) {
        doubts.push(format!("its database.dbname is {database}"));
    } else if database != source.database {
        return Feeding::No(format!("it captures database \"{database}\""));
    }
    let slot = get("slot.name").unwrap_or(DEFAULT_SLOT);
    if is_placeholder(slot) {
        doubts.push(format!("its slot.name is {slot}"));
    } else if !source.slots.iter().any(|name| name == slot) {
        return Feeding::No(format!(
            "its replication slot \"{slot}\" is not in database \"{}\" of this server",
            source.database
        ));
    }
    match publishes_outbox(config, source) {
        TableCapture::Yes => {}
        TableCapture::No(why) => return Feeding::No(why),
        TableCapture::Unknown(what) => doubts.push(what),
    }
    let host = get("database.hostname").unwrap_or_default();
    let port = get("database.port").unwrap_or("5432");
    let is_address = |(known, known_port): &(String, u16)| {
        known.eq_ignore_ascii_case(host) && known_port.to_string() == port
    };
    if !source.addresses.iter().any(is_address) {
        doubts.push(format!(
            "its database is at {host}:{port}, which may or may not be the same server"
        ));
    }
    if doubts.is_empty() {
        Feeding::Yes(format!(
            "it captures {SCHEMA}.{TABLE} of database \"{database}\" at {host}:{port} by slot \"{slot}\", and writes it to {topic}"
        ))
    } else {
        Feeding::Doubtful(doubts.join("; "))
    }
}

/// Whether a configuration is of Debezium's connector for PostgreSQL. Connect takes the simple name and the alias, too.
#[must_use]
pub fn is_postgres_connector(config: &BTreeMap<String, String>) -> bool {
    let class = config.get("connector.class").map(String::as_str);
    [CONNECTOR_CLASS, "PostgresConnector", "Postgres"].contains(&class.unwrap_or_default())
}

/// Whether a table is among a connector's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableCapture {
    /// It is.
    Yes,
    /// It is not, and why.
    No(String),
    /// A list of the configuration cannot be read here.
    Unknown(String),
}

/// Whether a connector of this configuration captures `schema.table`, by its lists of what to include and to exclude.
#[must_use]
pub fn captures_table(
    config: &BTreeMap<String, String>,
    schema: &str,
    table: &str,
) -> TableCapture {
    let table = format!("{schema}.{table}");
    for (key, name, includes) in [
        ("schema.include.list", schema, true),
        ("schema.exclude.list", schema, false),
        ("table.include.list", &table, true),
        ("table.exclude.list", &table, false),
    ] {
        let Some(list) = config.get(key).filter(|list| !list.trim().is_empty()) else {
            continue;
        };
        match is_listed(list, name) {
            None => {
                return TableCapture::Unknown(format!("its {key} ({list}) cannot be read here"));
            }
            Some(listed) if listed != includes => {
                return TableCapture::No(format!("its {key} ({list}) leaves {table} out"));
            }
            Some(_) => {}
        }
    }
    TableCapture::Yes
}

/// Whether what the connector reads from PostgreSQL has the outbox: its publication, where its plugin reads one. A running connector
/// reads the publication as it is: it makes one that is missing, or adds tables to it (`filtered`), when it starts.
fn publishes_outbox(config: &BTreeMap<String, String>, source: &SourceDatabase) -> TableCapture {
    let get = |key: &str, default| config.get(key).map_or(default, String::as_str);
    let plugin = get("plugin.name", DEFAULT_PLUGIN);
    let name = get("publication.name", DEFAULT_PUBLICATION);
    for (key, value) in [("plugin.name", plugin), ("publication.name", name)] {
        if is_placeholder(value) {
            return TableCapture::Unknown(format!("its {key} is {value}"));
        }
    }
    if plugin != "pgoutput" {
        return TableCapture::Yes;
    }
    let mode = get("publication.autocreate.mode", "all_tables");
    match source.publications.get(name) {
        Some(None) => TableCapture::Yes,
        Some(Some(gap)) => TableCapture::No(format!("its publication \"{name}\" {gap}")),
        None if ["all_tables", "filtered"].contains(&mode) => TableCapture::Unknown(format!(
            "its publication \"{name}\" is not in the database yet"
        )),
        None => TableCapture::No(format!(
            "its publication \"{name}\" is not in the database, and it makes none of its tables (publication.autocreate.mode={mode})"
        )),
    }
}

/// Whether a list of expressions, each for the whole name and whatever its case, has this name; `None` if one cannot be read.
#[must_use]
pub fn is_listed(list: &str, name: &str) -> Option<bool> {
    if is_placeholder(list) {
        return None;
    }
    // A comma within an expression is escaped.
    let expressions = list.replace("\\,", "\0");
    let mut listed = false;
    for expression in expressions.split(',').map(str::trim) {
        let expression = expression.replace('\0', ",");
        let whole = RegexBuilder::new(&format!("^(?:{expression})$"))
            .case_insensitive(true)
            .build()
            .ok()?;
        listed |= whole.is_match(name);
    }
    Some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "postgres.activity.event_outbox";

    fn source() -> SourceDatabase {
        SourceDatabase {
            addresses: vec![
                ("127.0.0.1".to_owned(), 5432),
                ("postgres".to_owned(), 5432),
            ],
            database: "activity_db".to_owned(),
            slots: vec!["debezium".to_owned(), "own".to_owned()],
            publications: [
                ("dbz_publication", None),
                ("own", None),
                ("shop_pub", Some("does not have the table")),
            ]
            .map(|(name, gap): (&str, Option<&str>)| (name.to_owned(), gap.map(str::to_owned)))
            .into(),
        }
    }

    /// A connector that feeds the topic, with other settings; an empty one is left out.
    fn relative(changes: &[(&str, &str)]) -> Feeding {
        let mut config: BTreeMap<String, String> = [
            ("connector.class", CONNECTOR_CLASS),
            ("database.hostname", "postgres"),
            ("database.port", "5432"),
            ("database.dbname", "activity_db"),
            ("topic.prefix", "postgres"),
            ("table.include.list", "activity.event_outbox"),
            ("plugin.name", "pgoutput"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        for (key, value) in changes {
            config.insert((*key).to_owned(), (*value).to_owned());
        }
        config.retain(|_, value| !value.is_empty());
        feeding(&config, &source(), TOPIC)
    }

    #[test]
    fn the_one_that_feeds_the_topic_is_told_from_its_relatives() {
        for yes in [
            &[][..],
            &[("connector.class", "PostgresConnector")],
            &[("database.port", "")],
            &[("slot.name", "own")],
            &[("publication.name", "own")],
            // Another plugin reads no publication.
            &[("plugin.name", ""), ("publication.name", "shop_pub")],
            &[("table.include.list", "")],
            &[("table.include.list", "x.y, activity.event_.*")],
            &[("table.include.list", "Activity.Event_Outbox")],
            &[("table.include.list", ""), ("schema.include.list", "act.*")],
            &[("table.exclude.list", "activity.event")],
            &[("table.include.list", r"activity.event_outbo\w{1\,2}")],
        ] {
            assert!(
                matches!(relative(yes), Feeding::Yes(_)),
                "{yes:?}: {:?}",
                relative(yes)
            );
        }
        for (no, says) in [
            (
                &[(
                    "connector.class",
                    "io.debezium.connector.mysql.MySqlConnector",
                )][..],
                "MySqlConnector",
            ),
            (&[("database.dbname", "shop")], "database \"shop\""),
            (&[("slot.name", "elsewhere")], "slot \"elsewhere\""),
            (
                &[("publication.name", "shop_pub")],
                "publication \"shop_pub\" does not have the table",
            ),
            // It would add the table at its next start.
            (
                &[
                    ("publication.name", "shop_pub"),
                    ("publication.autocreate.mode", "filtered"),
                ],
                "publication \"shop_pub\"",
            ),
            (
                &[
                    ("publication.name", "missing"),
                    ("publication.autocreate.mode", "disabled"),
                ],
                "autocreate.mode=disabled",
            ),
            (&[("table.include.list", "shop.orders")], "leaves"),
            // Not anchored, it would match.
            (&[("table.include.list", "event_outbox")], "leaves"),
            (
                &[("table.include.list", ""), ("schema.include.list", "shop")],
                "leaves",
            ),
            (
                &[
                    ("table.include.list", ""),
                    ("table.exclude.list", "activity[.].*"),
                ],
                "leaves",
            ),
            (&[("topic.prefix", "shop")], "shop.activity.event_outbox"),
            (
                &[("topic.delimiter", "_")],
                "postgres_activity_event_outbox",
            ),
            (
                &[
                    ("transforms", "o"),
                    (
                        "transforms.o.type",
                        "io.debezium.transforms.outbox.EventRouter",
                    ),
                ],
                "outbox.event.",
            ),
        ] {
            let found = relative(no);
            assert!(
                matches!(&found, Feeding::No(why) if why.contains(says)),
                "{found:?}"
            );
        }
        for (doubt, says) in [
            (
                &[("database.hostname", "db.internal")][..],
                "db.internal:5432",
            ),
            (&[("database.port", "6432")], "postgres:6432"),
            (&[("database.dbname", "${env:DB}")], "${env:DB}"),
            (&[("publication.name", "${env:PUB}")], "${env:PUB}"),
            (&[("publication.name", "missing")], "\"missing\""),
            (&[("table.include.list", "(?!x).*")], "cannot be read"),
            (
                &[("transforms", "t"), ("transforms.t.type", "com.acme.T")],
                "com.acme.T",
            ),
        ] {
            let found = relative(doubt);
            assert!(
                matches!(&found, Feeding::Doubtful(what) if what.contains(says)),
                "{found:?}"
            );
        }
    }
}
