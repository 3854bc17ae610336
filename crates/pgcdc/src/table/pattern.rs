//! Patterns of table names.

use std::fmt;
use std::str::FromStr;

use crate::TableName;
use crate::table::name::{InvalidTableName, NamePart, in_two, quoted};

/// Tables by name: one, or those whose schema and name match a pattern, such as `shop.order_*`.
///
/// Outside of quotation marks `*` is any text and `?` any character, as `psql` takes them. Tables of the system and temporary tables
/// match no pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    pub(crate) schema: PartPattern,
    pub(crate) name: PartPattern,
}

/// A schema, a name, or a pattern of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartPattern {
    text: String,
    has_wildcards: bool,
}

impl TablePattern {
    /// The table, unless there are wildcards.
    #[must_use]
    pub fn table(&self) -> Option<TableName> {
        let is_name = !self.schema.has_wildcards && !self.name.has_wildcards;
        is_name.then(|| TableName::new(&*self.schema.text, &*self.name.text))
    }
}

impl From<TableName> for TablePattern {
    /// This table, whatever characters are in its name.
    fn from(table: TableName) -> Self {
        let part = |text| PartPattern {
            text,
            has_wildcards: false,
        };
        Self {
            schema: part(table.schema),
            name: part(table.name),
        }
    }
}

impl FromStr for TablePattern {
    type Err = InvalidTableName;

    /// As a [`TableName`], with wildcards in parts without quotation marks.
    fn from_str(text: &str) -> Result<Self, InvalidTableName> {
        let (schema, name) = in_two(text)?;
        Ok(Self {
            schema: schema.into(),
            name: name.into(),
        })
    }
}

impl From<NamePart> for PartPattern {
    fn from(part: NamePart) -> Self {
        Self {
            has_wildcards: !part.is_quoted && part.text.contains(['*', '?']),
            text: part.text,
        }
    }
}

impl PartPattern {
    /// The pattern as `LIKE` takes it.
    pub(crate) fn to_like(&self) -> String {
        let mut like = String::new();
        for c in self.text.chars() {
            match c {
                '*' if self.has_wildcards => like.push('%'),
                '?' if self.has_wildcards => like.push('_'),
                '%' | '_' | '\\' => like.extend(['\\', c]),
                c => like.push(c),
            }
        }
        like
    }

    /// The same in lower case, without spaces, hyphens and underscores: for names that are spelled otherwise.
    pub(crate) fn to_similar_like(&self) -> String {
        let text = self.text.to_lowercase().replace([' ', '-', '_'], "");
        let has_wildcards = self.has_wildcards;
        Self {
            text,
            has_wildcards,
        }
        .to_like()
    }
}

impl fmt::Display for PartPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.has_wildcards {
            true => f.write_str(&self.text),
            false => f.write_str(&quoted(&self.text)),
        }
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_count_outside_of_quotation_marks() {
        for (text, schema, name, shown) in [
            ("order_*", "public", "order\\_%", "public.order_*"),
            ("*.Orders", "%", "orders", "*.orders"),
            ("shop.t?", "shop", "t_", "shop.t?"),
            ("\"My*\".*", "My*", "%", "\"My*\".*"),
            ("a.5%*", "a", "5\\%%", "a.5%*"),
        ] {
            let pattern: TablePattern = text.parse().unwrap();
            let like = (pattern.schema.to_like(), pattern.name.to_like());
            assert_eq!(like, (schema.to_owned(), name.to_owned()), "{text}");
            assert_eq!(pattern.to_string(), shown);
            assert_eq!(pattern.table(), None, "{text}");
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    }

    #[test]
    fn a_name_without_wildcards_is_the_table() {
        for text in ["shop.orders", "\"what?\"", "\"My.App\".\"a*b\""] {
            let pattern: TablePattern = text.parse().unwrap();
            let table: TableName = text.parse().unwrap();
            assert_eq!(pattern.table(), Some(table.clone()));
            assert_eq!(TablePattern::from(table), pattern);
        }
        let refused = "a.b.*".parse::<TablePattern>();
        assert_eq!(refused, Err(InvalidTableName::TooManyParts));
    }

    #[test]
    fn names_spelled_otherwise_are_similar() {
        let pattern: TablePattern = "shop.Order_*".parse().unwrap();
        assert_eq!(pattern.name.to_similar_like(), "order%");
    }
}
