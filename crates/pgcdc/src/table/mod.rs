//! Tables: their names, and what the stream says of them.

mod name;
mod pattern;
pub(crate) mod relation;

pub use name::{InvalidTableName, TableName};
pub use pattern::TablePattern;
pub use relation::{Column, Relation, Relations, ReplicaIdentity};
