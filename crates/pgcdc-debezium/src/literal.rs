//! Literals of PostgreSQL's text format with several values in them: arrays and `hstore`.

use super::json::{raw, string};

/// An `hstore`, `"a"=>"1", "b"=>NULL`, as the text of a JSON object.
pub(super) fn hstore(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'{');
    let mut rest = text;
    while !rest.is_empty() {
        if out.len() > 1 {
            out.push(b',');
            rest = rest.strip_prefix(", ")?;
        }
        let (key, after) = quoted(rest)?;
        string(&mut out, &key);
        out.push(b':');
        let after = after.strip_prefix("=>")?;
        rest = if let Some(after) = after.strip_prefix("NULL") {
            raw(&mut out, "null");
            after
        } else {
            let (value, after) = quoted(after)?;
            string(&mut out, &value);
            after
        };
    }
    out.push(b'}');
    String::from_utf8(out).ok()
}

/// The string in double quotes, with backslash escapes, at the beginning of `text`, and the text after it.
pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// An array without its bounds, which precede it when it does not begin at 1: `[2:3]={1,2}`.
pub(super) fn without_bounds(text: &str) -> &str {
    match text.split_once('=') {
        Some((bounds, rest)) if bounds.starts_with('[') => rest,
        _ => text,
    }
}

/// The text after the inner array at the beginning of `text`.
pub(super) fn after_braces(text: &str) -> Option<&str> {
    let (mut depth, mut in_quotes, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_quotes = !in_quotes,
            '{' if !in_quotes => depth += 1,
            '}' if !in_quotes => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(&text[at + 1..]);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hstores_become_objects_in_a_text() {
        assert_eq!(
            hstore(r#""a"=>"1", "b \"q\""=>NULL, "c"=>"x, y""#).unwrap(),
            r#"{"a":"1","b \"q\"":null,"c":"x, y"}"#
        );
        assert_eq!(hstore("").unwrap(), "{}");
    }
}
