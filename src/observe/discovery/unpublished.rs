//! Tables for a publication of ours: none that we may not publish, and none that would suffer by it.

use std::sync::Arc;

use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::connector::FoundConnector;
use super::table::{KEY_COLUMNS, ObservedTable};
use crate::debezium::{TableCapture, captures_table};
use crate::pipeline::Failure;

/// A publication that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe) struct PlannedPublication {
    /// Changes of partitions are published as those of the partitioned table.
    pub(in crate::observe) via_partition_root: bool,
}

/// A partitioned table is one table, whose rows its partitions have.
pub(in crate::observe) const VIA_ROOT: PlannedPublication = PlannedPublication {
    via_partition_root: true,
};

/// How a publication of ours has partitions: as the connector's.
pub(super) fn planned(connector: Option<&FoundConnector>) -> PlannedPublication {
    let setting = connector.and_then(|found| found.config.get("publish.via.partition.root"));
    PlannedPublication {
        via_partition_root: setting.is_some_and(|value| value.eq_ignore_ascii_case("true")),
    }
}

/// The tables that can be published: those that were asked for (`schema.table`), else those that the connector captures.
///
/// # Errors
/// When none is known, one does not exist, is not ours to publish, or could no longer be written to if it were published.
pub(super) async fn candidates(
    client: &Client,
    connector: Option<&FoundConnector>,
    asked: &[String],
) -> Result<Vec<ObservedTable>, Failure> {
    let refused = |text: String| Err(Failure::usage(anyhow::anyhow!(text)));
    if asked.is_empty() && connector.is_none() {
        return refused(
            "--make-publication needs to know the tables: name them (--table SCHEMA.TABLE, repeatable), or let the connector be asked (CONNECT_URL)".to_owned(),
        );
    }
    let publisher = Publisher::of(client, "--publication NAME", asked).await?;
    let tables = list(client, planned(connector)).await?;
    for name in asked {
        if !tables.iter().any(|known| *known.table.name == **name) {
            return refused(format!(
                "database {} has no table {name} that could be published; a partitioned table is published by its partitions, unless the connector has publish.via.partition.root=true",
                escape_identifier(&publisher.database)
            ));
        }
    }
    let is_wanted = |candidate: &Candidate| {
        let table = &candidate.table;
        if !asked.is_empty() {
            return asked.iter().any(|name| **name == *table.name);
        }
        connector.is_some_and(|found| {
            captures_table(&found.config, &table.schema, &table.table) == TableCapture::Yes
        })
    };
    let wanted: Vec<_> = tables.into_iter().filter(is_wanted).collect();
    for candidate in &wanted {
        if let Some(reason) = publisher.obstacle(candidate) {
            return refused(reason);
        }
    }
    Ok(wanted.into_iter().map(|known| known.table).collect())
}

/// Tables as a statement names them.
fn of_tables(asked: &[String]) -> String {
    let quoted = asked.iter().map(|name| {
        let (schema, table) = name.split_once('.').unwrap_or(("public", name));
        format!("{}.{}", escape_identifier(schema), escape_identifier(table))
    });
    let quoted: Vec<_> = quoted.collect();
    if quoted.is_empty() {
        return "SCHEMA.TABLE, ...".to_owned();
    }
    quoted.join(", ")
}

/// A role that is to make a publication.
pub(super) struct Publisher {
    role: String,
    database: String,
    /// How one that is there is named.
    flag: &'static str,
}

impl Publisher {
    /// The role of this session. `flag`: how a publication that is there is named; `asked`: the tables that it would have.
    ///
    /// # Errors
    /// When it may make none in this database.
    pub(super) async fn of(
        client: &Client,
        flag: &'static str,
        asked: &[String],
    ) -> Result<Self, Failure> {
        let refused = |text: String| Err(Failure::usage(anyhow::anyhow!(text)));
        let row = client
            .query_one(
                "SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(), \
                   current_setting('transaction_read_only') = 'on'",
                &[],
            )
            .await?;
        let (role, database): (String, String) = (row.get(0), row.get(1));
        if row.get(3) {
            return refused(format!(
                "on a standby no publication can be made: make it on the primary (CREATE PUBLICATION cdc_bench FOR TABLE {}), wait until it is here, too, and name it ({flag})",
                of_tables(asked)
            ));
        }
        if row.get(4) {
            let (role, database) = (escape_identifier(&role), escape_identifier(&database));
            return refused(format!(
                "database {database} is read-only for role {role}, so no publication can be made in this session: make it in one that may write (SET default_transaction_read_only = off; CREATE PUBLICATION cdc_bench FOR TABLE {}), and name it ({flag})",
                of_tables(asked)
            ));
        }
        if !row.get::<_, bool>(2) {
            let (role, database) = (escape_identifier(&role), escape_identifier(&database));
            return refused(format!(
                "role {role} may not make publications in database {database}: GRANT CREATE ON DATABASE {database} TO {role}, or name a publication that is there ({flag})"
            ));
        }
        Ok(Self {
            role,
            database,
            flag,
        })
    }

    /// Why a table must not be published by this role.
    pub(super) fn obstacle(&self, candidate: &Candidate) -> Option<String> {
        let (role, flag) = (escape_identifier(&self.role), self.flag);
        let name = &candidate.table.name;
        if !candidate.is_ours {
            return Some(format!(
                "role {role} does not own table {name}, and only an owner can publish it: have its owner make the publication, and name it ({flag}), or GRANT the owner's role TO {role}"
            ));
        }
        (!candidate.has_identity).then(|| {
            format!(
                "table {name} has no primary key and no replica identity: once it is published, PostgreSQL refuses every UPDATE and DELETE on it; give it one (ALTER TABLE {} REPLICA IDENTITY FULL), or leave it out (--table)",
                quoted(&candidate.table)
            )
        })
    }
}

/// A table of the database.
pub(super) struct Candidate {
    pub(super) table: ObservedTable,
    is_ours: bool,
    /// Whether updates and deletes can be published.
    has_identity: bool,
}

/// The tables of the database that a publication can have.
pub(super) async fn list(
    client: &Client,
    publication: PlannedPublication,
) -> Result<Vec<Candidate>, tokio_postgres::Error> {
    // What is published with its updates already stays as it is.
    let question = format!(
        "SELECT n.nspname::text, c.relname::text, {KEY_COLUMNS}, pg_has_role(c.relowner, 'USAGE'), \
           c.relreplident = 'f' \
             OR (c.relreplident = 'd' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)) \
             OR (c.relreplident = 'i' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)) \
             OR EXISTS (SELECT FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname \
                  WHERE t.schemaname = n.nspname AND t.tablename = c.relname AND p.pubupdate AND p.pubdelete) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relpersistence = 'p' AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_') \
           AND CASE WHEN $1 THEN c.relkind IN ('r', 'p') AND NOT c.relispartition ELSE c.relkind = 'r' END \
         ORDER BY 1, 2"
    );
    let rows = client
        .query(&question, &[&publication.via_partition_root])
        .await?;
    let tables = rows.iter().map(|row| {
        let (schema, table): (String, String) = (row.get(0), row.get(1));
        Candidate {
            table: ObservedTable {
                name: Arc::from(format!("{schema}.{table}")),
                schema,
                table,
                key: row.get(2),
            },
            is_ours: row.get(3),
            has_identity: row.get(4),
        }
    });
    Ok(tables.collect())
}

/// The table as SQL has it.
pub(in crate::observe) fn quoted(table: &ObservedTable) -> String {
    format!(
        "{}.{}",
        escape_identifier(&table.schema),
        escape_identifier(&table.table)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle(is_ours: bool, has_identity: bool) -> Option<String> {
        let candidate = Candidate {
            table: ObservedTable {
                schema: "public".to_owned(),
                table: "Orders".to_owned(),
                name: "public.Orders".into(),
                key: Vec::new(),
            },
            is_ours,
            has_identity,
        };
        let publisher = Publisher {
            role: "me".to_owned(),
            database: "shop".to_owned(),
            flag: "--publication NAME",
        };
        publisher.obstacle(&candidate)
    }

    #[test]
    fn tables_are_named_as_sql_has_them() {
        let asked = ["public.Orders".to_owned(), "shop.lines".to_owned()];
        assert_eq!(
            of_tables(&asked),
            "\"public\".\"Orders\", \"shop\".\"lines\""
        );
        assert_eq!(of_tables(&[]), "SCHEMA.TABLE, ...");
    }

    #[test]
    fn a_table_is_published_only_where_that_does_no_harm() {
        assert_eq!(obstacle(true, true), None);
        let foreign = obstacle(false, true).unwrap();
        assert!(foreign.contains("does not own") && foreign.contains("--publication"));
        let without = obstacle(true, false).unwrap();
        let way_out = "ALTER TABLE \"public\".\"Orders\" REPLICA IDENTITY FULL";
        assert!(without.contains("UPDATE and DELETE") && without.contains(way_out));
    }
}
