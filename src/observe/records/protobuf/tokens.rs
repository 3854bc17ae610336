//! The words and signs of a `.proto` file.

/// Splits a file, without its comments. A string keeps its first quote, by which it is told from a word.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            quote @ ('"' | '\'') => {
                let length = string_length(rest, quote);
                tokens.push(rest[..length.saturating_sub(1).max(1)].to_owned());
                length
            }
            c if is_of_word(c) => {
                let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
                tokens.push(rest[..length].to_owned());
                length
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(c.to_string());
                }
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

/// Names may be paths, and numbers may have signs.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+')
}

/// The length of the string at the beginning, with its quotes.
fn string_length(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_signs_and_strings_without_comments() {
        let text = "a.B x = 1 [o=\"it's; \\\"\"]; // c\n/* d */ 'e' é /*";
        assert_eq!(
            tokens(text),
            [
                "a.B",
                "x",
                "=",
                "1",
                "[",
                "o",
                "=",
                "\"it's; \\\"",
                "]",
                ";",
                "'e",
                "é"
            ]
        );
        assert_eq!(tokens("\""), ["\""]);
    }
}
