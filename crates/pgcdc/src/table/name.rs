//! Name of a table.

use std::fmt;
use std::str::FromStr;

use postgres_protocol::escape::escape_identifier;

/// Name of a table, with its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl TableName {
    /// The table of this name in this schema.
    #[must_use]
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// The name as an SQL statement needs it: each part in quotation marks where it would not be taken as it is otherwise.
    #[must_use]
    pub fn to_sql(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

/// An identifier, in quotation marks if it needs them. Key words are not known here: one is a syntax error, never another table.
pub(crate) fn quoted(part: &str) -> String {
    let mut chars = part.chars();
    let is_plain = chars
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain {
        part.to_owned()
    } else {
        escape_identifier(part)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A text is no table's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTableName {
    /// A part is empty.
    #[error("expected TABLE or SCHEMA.TABLE, and a part of it is empty")]
    Empty,
    /// More than a schema and a table.
    #[error(
        "expected TABLE or SCHEMA.TABLE, and this has more than two parts: a name with a dot in it needs quotation marks, as in '\"my.table\"'"
    )]
    TooManyParts,
    /// A quotation mark without its counterpart, or within a part.
    #[error(
        "a quotation mark is missing or out of place: expected '\"Name\"', with a mark in the name doubled"
    )]
    Quotes,
}

impl FromStr for TableName {
    type Err = InvalidTableName;

    /// `TABLE`, which is in schema `public`, or `SCHEMA.TABLE`, as `psql` takes them: a part in quotation marks as it is, with
    /// doubled marks for one; any other in lower case.
    fn from_str(text: &str) -> Result<Self, InvalidTableName> {
        let (schema, name) = in_two(text)?;
        Ok(Self::new(schema.text, name.text))
    }
}

/// A part of a name.
pub(crate) struct NamePart {
    /// Without quotation marks; in lower case if it had none.
    pub(crate) text: String,
    pub(crate) is_quoted: bool,
}

/// Schema, `public` if there is none, and name.
pub(crate) fn in_two(text: &str) -> Result<(NamePart, NamePart), InvalidTableName> {
    let (first, rest) = part(text)?;
    let Some(rest) = rest else {
        let schema = NamePart {
            text: "public".to_owned(),
            is_quoted: false,
        };
        return Ok((schema, first));
    };
    match part(rest)? {
        (second, None) => Ok((first, second)),
        (_, Some(_)) => Err(InvalidTableName::TooManyParts),
    }
}

/// The first part of a name, and what follows its dot.
fn part(text: &str) -> Result<(NamePart, Option<&str>), InvalidTableName> {
    let quoted = text.strip_prefix('"');
    let is_quoted = quoted.is_some();
    let (text, rest) = match quoted {
        Some(quoted) => unquote(quoted)?,
        None => {
            let end = text.find('.').unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            if name.contains('"') {
                return Err(InvalidTableName::Quotes);
            }
            (name.to_ascii_lowercase(), rest)
        }
    };
    if text.is_empty() {
        return Err(InvalidTableName::Empty);
    }
    let name = NamePart { text, is_quoted };
    match rest.strip_prefix('.') {
        Some(rest) => Ok((name, Some(rest))),
        None if rest.is_empty() => Ok((name, None)),
        None => Err(InvalidTableName::Quotes),
    }
}

/// What stands before the closing quotation mark, and what stands after it.
fn unquote(text: &str) -> Result<(String, &str), InvalidTableName> {
    let mut name = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return Ok((name, &text[at + 1..]));
        }
    }
    Err(InvalidTableName::Quotes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_as_psql_takes_it() {
        for (text, schema, name) in [
            ("orders", "public", "orders"),
            ("Orders", "public", "orders"),
            ("\"Orders\"", "public", "Orders"),
            ("Shop.ORDERS", "shop", "orders"),
            ("\"My.App\".\"Order Items\"", "My.App", "Order Items"),
            ("shop.\"say \"\"hello\"\"\"", "shop", "say \"hello\""),
            ("\"Shop\".orders", "Shop", "orders"),
            ("Größe", "public", "größe"),
        ] {
            assert_eq!(text.parse(), Ok(TableName::new(schema, name)), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_name_is_refused() {
        for (text, error) in [
            ("", InvalidTableName::Empty),
            (".orders", InvalidTableName::Empty),
            ("shop.", InvalidTableName::Empty),
            ("\"\"", InvalidTableName::Empty),
            ("a.b.c", InvalidTableName::TooManyParts),
            ("\"orders", InvalidTableName::Quotes),
            ("\"orders\"x", InvalidTableName::Quotes),
            ("or\"ders", InvalidTableName::Quotes),
        ] {
            assert_eq!(text.parse::<TableName>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_name_for_sql_is_the_name_again() {
        for name in [
            TableName::new("shop", "orders"),
            TableName::new("My.App", "Order \"Items\""),
            TableName::new("public", "2nd"),
        ] {
            assert_eq!(name.to_sql().parse(), Ok(name));
        }
        assert_eq!(TableName::new("shop", "orders").to_sql(), "shop.orders");
    }
}
