//! What has rows of its own: a table, or a partition of one.

/// A table or a leaf partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TablePart {
    pub(super) oid: u32,
    /// What a rewrite (`TRUNCATE`, `VACUUM FULL`, `CLUSTER`, some forms of `ALTER TABLE`) replaces; zero where there is none.
    pub(super) filenode: u32,
    /// Its size, blocks; `None` where rows have no place in a block: a foreign table, or another access method than `heap`.
    pub(super) blocks: Option<u32>,
    /// Its name as SQL.
    pub(super) name: String,
    /// Whether rows of tables that inherit from it are left out.
    pub(super) has_only: bool,
}

impl TablePart {
    /// What to select from, as SQL.
    pub(super) fn source(&self) -> String {
        let only = if self.has_only { "ONLY " } else { "" };
        format!("{only}{}", self.name)
    }
}
