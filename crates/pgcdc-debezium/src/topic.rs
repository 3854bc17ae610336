//! Names of topics, as Debezium's `SchemaTopicNamingStrategy` makes them.

use pgcdc::Relation;

/// Kafka's limit.
const MAX_LENGTH: usize = 249;

/// The topic of a table: prefix, schema and table. What Kafka does not allow in a name is `_`; two tables may get one topic.
pub(super) fn of_table(prefix: &str, relation: &Relation) -> String {
    topic_name(prefix, &relation.schema, &relation.name)
}

/// The topic of a table of this name: prefix, schema and table, with `_` for what Kafka does not allow in a name. Two tables may
/// get one topic.
#[must_use]
pub fn topic_name(prefix: &str, schema: &str, table: &str) -> String {
    let parts = [prefix, schema, table];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .collect();
    let mut name = String::new();
    for c in parts.join(".").chars() {
        match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => name.push(c),
            // One for each of Java's characters.
            c => name.extend(std::iter::repeat_n('_', c.len_utf16())),
        }
    }
    name.truncate(MAX_LENGTH);
    match &*name {
        "." => "_".to_owned(),
        ".." => "__".to_owned(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use pgcdc::ReplicaIdentity;

    use super::*;

    fn topic(schema: &str, name: &str) -> String {
        let relation = Relation {
            oid: 1,
            schema: schema.to_owned(),
            name: name.to_owned(),
            replica_identity: ReplicaIdentity::Default,
            primary_key: Vec::new(),
            unique_index: Vec::new(),
            columns: Vec::new(),
        };
        of_table("p", &relation)
    }

    #[test]
    fn what_kafka_does_not_allow_in_a_name_is_an_underscore() {
        assert_eq!(topic("public", "orders-1.a_b"), "p.public.orders-1.a_b");
        assert_eq!(topic("public", "Bestell Ürte"), "p.public.Bestell__rte");
        assert_eq!(topic("My.App", "größe in m²"), "p.My.App.gr__e_in_m_");
        assert_eq!(topic("public", "😀"), "p.public.__");
        assert_eq!(topic(" ", "t"), "p.t");
        assert_eq!(topic("s", &"ä".repeat(300)).len(), MAX_LENGTH);
    }
}
