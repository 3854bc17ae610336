//! Where the rows of a table are: its own file, or those of its partitions.

use postgres_protocol::escape::escape_literal;

use super::part::TablePart;
use super::tables::PublishedTable;
use crate::wire::TextRows;

/// The storage of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TableStorage {
    /// The table itself, or its leaf partitions.
    pub(super) parts: Vec<TablePart>,
    /// Whether its rows have a key: a primary key, or the index of its replica identity.
    pub(super) has_key: bool,
}

/// Size of a block, and the storage of each of the tables, in their order.
pub(super) type Storages = (u32, Vec<TableStorage>);

/// The query for the storage of tables: see [`read`].
pub(super) fn query(tables: &[PublishedTable]) -> String {
    let oids: Vec<_> = tables.iter().map(|table| table.oid().to_string()).collect();
    // A partition is read by itself where its own rights and policies do not forbid it.
    format!(
        "SELECT root.oid, c.oid, coalesce(pg_relation_filenode(c.oid), 0), \
           CASE WHEN c.relkind = 'r' AND am.amname = 'heap' THEN pg_relation_size(c.oid) / current_setting('block_size')::bigint END, \
           format('%I.%I', n.nspname, c.relname), c.oid = root.oid, \
           c.oid = root.oid OR has_table_privilege(c.oid, 'SELECT') AND NOT c.relrowsecurity, \
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = root.oid AND (i.indisprimary OR i.indisreplident)), \
           current_setting('block_size') \
         FROM unnest({}::oid[]) WITH ORDINALITY root(oid, place) JOIN pg_class r ON r.oid = root.oid \
           CROSS JOIN LATERAL (SELECT r.oid WHERE r.relkind <> 'p' \
             UNION ALL SELECT relid FROM pg_partition_tree(r.oid) WHERE isleaf AND r.relkind = 'p' AND relid <> r.oid) leaf(oid) \
           JOIN pg_class c ON c.oid = leaf.oid JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam \
         ORDER BY root.place, c.oid",
        escape_literal(&format!("{{{}}}", oids.join(",")))
    )
}

/// Reads the answer to [`query`]; `None` when it is not as expected.
pub(super) fn read(tables: &[PublishedTable], rows: &TextRows) -> Option<Storages> {
    let mut storages = vec![TableStorage::default(); tables.len()];
    let mut is_whole = vec![false; tables.len()];
    let mut block_size = 8_192;
    for row in rows {
        let text = |index: usize| row.get(index)?.as_deref();
        let root: u32 = text(0)?.parse().ok()?;
        let index = tables.iter().position(|table| table.oid() == root)?;
        block_size = text(8)?.parse().ok()?;
        let blocks = text(3).map(str::parse).transpose().ok()?;
        storages[index].parts.push(TablePart {
            oid: text(1)?.parse().ok()?,
            filenode: text(2)?.parse().ok()?,
            blocks,
            name: text(4)?.to_owned(),
            has_only: text(5)? == "t" || blocks.is_some(),
        });
        is_whole[index] |= text(6)? != "t";
        storages[index].has_key = text(7)? == "t";
    }
    for (index, table) in tables.iter().enumerate() {
        let parts = &mut storages[index].parts;
        if is_whole[index] || parts.is_empty() {
            *parts = vec![TablePart {
                oid: table.oid(),
                filenode: 0,
                blocks: None,
                name: table.sql_name(),
                has_only: false,
            }];
        }
    }
    Some((block_size, storages))
}

/// The first table that was rewritten between two looks at the storage.
pub(super) fn rewritten(before: &[TableStorage], after: &[TableStorage]) -> Option<usize> {
    let files = |storage: &TableStorage| {
        let parts = storage.parts.iter();
        parts
            .map(|part| (part.oid, part.filenode))
            .collect::<Vec<_>>()
    };
    (before.iter().zip(after)).position(|(before, after)| files(before) != files(after))
}
