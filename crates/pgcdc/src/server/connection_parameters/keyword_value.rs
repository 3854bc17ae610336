//! `host=localhost password='a b'`: pairs with libpq's quoting.

use super::{ConnectionParameters, InvalidServer};

/// The parameters of pairs.
pub(super) fn parse(text: &str) -> Result<ConnectionParameters, InvalidServer> {
    let mut parameters = ConnectionParameters::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace());
        let (keyword, after) = rest.split_at(end.unwrap_or(rest.len()));
        let Some(value) = after.trim_start().strip_prefix('=') else {
            // What stands there may be the end of a password that is not quoted.
            return Err(InvalidServer::Syntax(
                "a word in it is not followed by \"=\"; a value with a blank stands in single quotes, and in them \\' is a quote and \\\\ a backslash"
                    .to_owned(),
            ));
        };
        let (value, after) = value_of(value.trim_start())?;
        parameters.set_named(keyword, &value)?;
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// The value that `text` begins with, and the text after it.
fn value_of(text: &str) -> Result<(String, &str), InvalidServer> {
    let (quoted, inner) = match text.strip_prefix('\'') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if quoted => return Ok((value, &inner[at + 1..])),
            c if c.is_whitespace() && !quoted => return Ok((value, &inner[at..])),
            // A backslash at the end stands for nothing.
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(InvalidServer::Syntax(
            "a quoted value has no end".to_owned(),
        ));
    }
    Ok((value, ""))
}
