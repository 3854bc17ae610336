//! What the user should know of a publication.

use std::fmt;

use postgres_protocol::escape::escape_identifier;

use crate::{TableName, TablePattern};

/// What a publication leaves out, or may harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicationWarning {
    /// Only inserts and truncates of a table are published.
    InsertsOnly {
        /// The table.
        table: TableName,
        /// Why.
        reason: String,
    },
    /// A table has a replica identity now, and only its inserts and truncates are published still.
    InsertsOnlyStill {
        /// The table.
        table: TableName,
        /// The publication.
        publication: String,
    },
    /// Every update and delete of a table fails: it has lost its replica identity since it was published.
    UpdatesFail {
        /// The table.
        table: TableName,
        /// Why.
        reason: String,
        /// The publication.
        publication: String,
    },
    /// Updates of a partition that is added later may fail.
    PartitionsToCome {
        /// The partitioned table.
        table: TableName,
    },
    /// Changes of a partition, or of a table that inherits, are not published.
    LeftOut {
        /// The table.
        table: TableName,
        /// What it belongs to.
        of: TableName,
    },
    /// A table matches a pattern, and is left out because it is unlogged.
    Unlogged {
        /// The table.
        table: TableName,
        /// The pattern.
        pattern: TablePattern,
    },
    /// Changes come under the names of partitions.
    UnderPartitions {
        /// The partitioned table.
        table: TableName,
        /// The publication.
        publication: String,
    },
}

impl fmt::Display for PublicationWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsertsOnly { table, reason } => write!(
                f,
                "updates and deletes of {table} are not captured, inserts and truncates are: {reason}, and PostgreSQL would refuse the application's UPDATE and DELETE if they were published; give it a primary key, or ALTER TABLE {table} REPLICA IDENTITY FULL, and drop the publication",
                table = table.to_sql()
            ),
            Self::InsertsOnlyStill { table, publication } => write!(
                f,
                "updates and deletes of {} are not captured: it was published without them, and could be published with them now; for that, drop publication \"{publication}\" while nothing captures from it",
                table.to_sql()
            ),
            Self::UpdatesFail {
                table,
                reason,
                publication,
            } => write!(
                f,
                "PostgreSQL refuses every UPDATE and DELETE of {table}: publication \"{publication}\" has them, and {reason}; give it a primary key, or ALTER TABLE {table} REPLICA IDENTITY FULL, or ALTER PUBLICATION {} DROP TABLE {table}",
                escape_identifier(publication),
                table = table.to_sql()
            ),
            Self::PartitionsToCome { table } => write!(
                f,
                "{table} has no primary key, and a partition that is added later does not inherit REPLICA IDENTITY: PostgreSQL will refuse UPDATE and DELETE in it until ALTER TABLE ... REPLICA IDENTITY FULL is repeated for it, or {table} has a primary key",
                table = table.to_sql()
            ),
            Self::LeftOut { table, of } => write!(
                f,
                "changes of {}, which belongs to {}, are not captured: it is no permanent table of this server",
                table.to_sql(),
                of.to_sql()
            ),
            Self::Unlogged { table, pattern } => write!(
                f,
                "{} matches {pattern} and is left out: its changes are not in the WAL, since it is unlogged (ALTER TABLE ... SET LOGGED)",
                table.to_sql()
            ),
            Self::UnderPartitions { table, publication } => write!(
                f,
                "changes of {} come under the names of its partitions: ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
                table.to_sql(),
                escape_identifier(publication)
            ),
        }
    }
}
