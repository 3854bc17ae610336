//! `sasl.jaas.config`, the Java way to write a login: `MODULE required key="value" ...;`.

use std::collections::BTreeMap;

/// The options of a login, by name. `None` when the text is not one entry of this form.
pub(super) fn options(text: &str) -> Option<BTreeMap<String, String>> {
    let mut rest = text.trim();
    // The module and its control flag.
    for _ in 0..2 {
        let end = rest.find(char::is_whitespace)?;
        rest = rest[end..].trim_start();
    }
    let mut options = BTreeMap::new();
    loop {
        if matches!(rest, "" | ";") {
            return Some(options);
        }
        let (name, after) = rest.split_once('=')?;
        let (value, left) = value(after.trim_start())?;
        options.insert(name.trim().to_owned(), value);
        rest = left.trim_start();
    }
}

/// A value, in quotes or not, and what is behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''));
    let Some(quote) = quote else {
        let end = text
            .find(|c: char| c.is_whitespace() || c == ';')
            .unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            end if end == quote => return Some((value, &text[at + 1..])),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_java_reads_them() {
        let found = options(
            r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="a b" password="q\"\\;=" tokenauth=true;"#,
        )
        .unwrap();
        assert_eq!(found["username"], "a b");
        assert_eq!(found["password"], "q\"\\;=");
        assert_eq!(found["tokenauth"], "true");
        assert_eq!(options("M required ;"), Some(BTreeMap::new()));
        for broken in ["", "M", r#"M required password="a"#, "M required password"] {
            assert_eq!(options(broken), None, "{broken}");
        }
    }
}
