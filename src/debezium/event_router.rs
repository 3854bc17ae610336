//! The topics that `EventRouter` sends the events of an outbox to.

use std::collections::{BTreeMap, BTreeSet};

/// Its default.
const REPLACEMENT: &str = "outbox.event.${routedByValue}";
/// What stands for the value of the row by which it is sent.
const BY_VALUE: &str = "${routedByValue}";

/// Those of the existing topics that a connector with this configuration may have sent events to. None where its transforms may
/// rename them further, or its topics are named by an expression of another form.
#[must_use]
pub fn event_router_topics(
    config: &BTreeMap<String, String>,
    existing: &BTreeSet<String>,
) -> Vec<String> {
    let get = |key: &str| config.get(key).map(|value| value.trim());
    let transforms = get("transforms").unwrap_or_default().split(',');
    let of = |name: &str, key: &str| get(&format!("transforms.{}.{key}", name.trim()));
    let kinds = transforms.map(|name| (name, of(name, "type").unwrap_or_default()));
    let mut routers = kinds.filter(|(_, kind)| kind.ends_with("Router"));
    let (Some((name, kind)), None) = (routers.next(), routers.next()) else {
        return Vec::new();
    };
    let is_plain = kind.ends_with(".EventRouter") && of(name, "route.topic.regex").is_none();
    let replacement = of(name, "route.topic.replacement").unwrap_or(REPLACEMENT);
    let Some((before, after)) = replacement.split_once(BY_VALUE).filter(|_| is_plain) else {
        return Vec::new();
    };
    let fits = |topic: &&String| {
        let rest = topic.strip_prefix(before);
        let value = rest.and_then(|rest| rest.strip_suffix(after));
        value.is_some_and(|value| !value.is_empty())
    };
    existing.iter().filter(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: &str = "io.debezium.transforms.outbox.EventRouter";

    fn found(settings: &[(&str, &str)], existing: &[&str]) -> Vec<String> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let existing = existing.iter().map(|topic| (*topic).to_owned());
        event_router_topics(&settings.iter().map(own).collect(), &existing.collect())
    }

    #[test]
    fn topics_are_those_that_the_replacement_may_name() {
        let existing = [
            "outbox.event.order",
            "outbox.event.",
            "other",
            "shop.order.v1",
        ];
        let router = [("transforms", "o"), ("transforms.o.type", ROUTER)];
        assert_eq!(found(&router, &existing), ["outbox.event.order"]);
        let named = [
            ("transforms", "drop, o"),
            (
                "transforms.drop.type",
                "org.apache.kafka.connect.transforms.Filter",
            ),
            ("transforms.o.type", ROUTER),
            (
                "transforms.o.route.topic.replacement",
                "shop.${routedByValue}.v1",
            ),
        ];
        assert_eq!(found(&named, &existing), ["shop.order.v1"]);
    }

    #[test]
    fn what_may_be_renamed_is_not_guessed() {
        let existing = ["outbox.event.order"];
        for more in [
            ("transforms.o.route.topic.regex", "(.*)-(.*)"),
            ("transforms.o.route.topic.replacement", "fixed"),
            (
                "transforms.r.type",
                "org.apache.kafka.connect.transforms.RegexRouter",
            ),
        ] {
            let settings = [("transforms", "o,r"), ("transforms.o.type", ROUTER), more];
            assert!(found(&settings, &existing).is_empty(), "{more:?}");
        }
        assert!(found(&[], &existing).is_empty());
    }
}
