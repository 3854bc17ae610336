//! Why tables cannot be published.

use crate::{ReaderError, TableName, TablePattern};

/// Why tables cannot be published.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublicationError {
    /// A table does not exist.
    #[error("table {} does not exist{}", table.to_sql(), or_is_it(instead))]
    NoTable {
        /// The table.
        table: TableName,
        /// Tables of similar names.
        instead: Vec<TableName>,
    },
    /// No table that could be published matches a pattern.
    #[error("no table matches {pattern}{}", or_is_it(instead))]
    NoMatch {
        /// The pattern.
        pattern: TablePattern,
        /// Tables of similar names.
        instead: Vec<TableName>,
    },
    /// It is nothing that PostgreSQL publishes.
    #[error("{} is {kind}, and PostgreSQL publishes tables only{advice}", table.to_sql())]
    NotPublishable {
        /// The table.
        table: TableName,
        /// What it is.
        kind: &'static str,
        /// What to do, after a semicolon.
        advice: &'static str,
    },
    /// The user does not own a table.
    #[error(
        "user \"{user}\" may not publish {}: it belongs to \"{owner}\", and only the owner of a table may publish it", table.to_sql()
    )]
    NotOwner {
        /// The table.
        table: TableName,
        /// The user.
        user: String,
        /// Who owns it.
        owner: String,
    },
    /// The user may not create publications.
    #[error(
        "user \"{user}\" may not create a publication: it lacks CREATE on database \"{database}\" (GRANT CREATE ON DATABASE \"{database}\" TO \"{user}\")"
    )]
    NoCreate {
        /// The user.
        user: String,
        /// The database.
        database: String,
    },
    /// The server is a standby.
    #[error("{server} is a standby, where no publication can be created: create it on the primary")]
    Standby {
        /// Host and port.
        server: String,
    },
    /// A publication of the name exists, and is of other tables.
    #[error(
        "publication \"{publication}\" exists, and has other tables: it has {}, and asked for is {}",
        names(has),
        names(asked)
    )]
    OtherTables {
        /// The publication.
        publication: String,
        /// The tables of it.
        has: Vec<TableName>,
        /// The tables that were asked for.
        asked: Vec<TableName>,
    },
    /// The server refused to create or to drop it.
    #[error("{action} failed: {cause}")]
    Refused {
        /// What was done.
        action: String,
        /// The server's answer.
        cause: ReaderError,
    },
    /// The server does not answer, or refuses.
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

fn names(tables: &[TableName]) -> String {
    if tables.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = tables.iter().map(TableName::to_sql).collect();
    names.join(", ")
}

fn or_is_it(instead: &[TableName]) -> String {
    match instead {
        [] => String::new(),
        [one] => format!("; there is {}", one.to_sql()),
        several => format!("; there are {}", names(several)),
    }
}
