//! Java's format of `.properties` files. By hand, because the crate for it brings regular expressions and the world's encodings
//! along.

use std::io;
use std::path::Path;

/// The properties of a file in Java's format, in its order.
///
/// # Errors
/// When it cannot be read.
pub fn read_properties(path: &Path) -> io::Result<Vec<(String, String)>> {
    Ok(parse(&std::fs::read_to_string(path)?))
}

fn parse(text: &str) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.starts_with(['#', '!']) {
            continue;
        }
        // A line that ends with an odd number of backslashes goes on in the next.
        while ends_with_escape(&line) {
            line.pop();
            line.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if !line.is_empty() {
            properties.push(property(line));
        }
    }
    properties
}

fn ends_with_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Name and value: separated by `=`, `:` or white space.
fn property(line: &str) -> (String, String) {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        let ends = !is_escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescaped(name), unescaped(rest.trim_start()))
}

fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut result = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => result.push('\n'),
            Some('r') => result.push('\r'),
            Some('t') => result.push('\t'),
            Some('f') => result.push('\u{c}'),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                result.extend(code.and_then(char::from_u32));
            }
            Some(other) => result.push(other),
            None => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let text = "# comment\n! too\n\nsecurity.protocol=SASL_SSL\nsasl.mechanism : PLAIN\r\na b\nempty=\n  indented = x y \n\
                    sasl.jaas.config=org.Module required \\\n    username=\"u\" \\\n    password=\"p\\u0041\\\\=\";\nssl.truststore.certificates=-----BEGIN\\nX\n";
        let expected = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("a", "b"),
            ("empty", ""),
            ("indented", "x y "),
            (
                "sasl.jaas.config",
                "org.Module required username=\"u\" password=\"pA\\=\";",
            ),
            ("ssl.truststore.certificates", "-----BEGIN\nX"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(text), expected);
    }
}
