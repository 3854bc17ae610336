//! Names of topics, as Debezium spells them.

/// Most characters of a topic's name.
const MAX_LENGTH: usize = 249;

/// The topic of a table of this name: `PREFIX.SCHEMA.TABLE`. A character that no topic's name may hold becomes `_`, so that two
/// tables may have one topic.
#[must_use]
pub fn topic_name(prefix: &str, schema: &str, table: &str) -> String {
    valid(&format!("{prefix}.{schema}.{table}"))
}

/// The name with every character that it may not hold replaced, cut to the length that is allowed.
pub(crate) fn valid(name: &str) -> String {
    let replaced = name.chars().flat_map(|c| {
        let is_valid = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        // Java counts a character beyond U+FFFF as two.
        std::iter::repeat_n(
            if is_valid { c } else { '_' },
            if is_valid { 1 } else { c.len_utf16() },
        )
    });
    replaced.take(MAX_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_no_topic_may_hold_becomes_an_underscore() {
        assert_eq!(topic_name("shop", "public", "orders"), "shop.public.orders");
        assert_eq!(
            topic_name("shop", "My.App", "Order Items"),
            "shop.My.App.Order_Items"
        );
        assert_eq!(topic_name("s", "p", "größe$🦀"), "s.p.gr__e___");
        assert_eq!(topic_name("s", "p", &"x".repeat(300)).len(), 249);
    }
}
