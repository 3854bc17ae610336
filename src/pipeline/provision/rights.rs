//! What the role lacks in the source database besides REPLICATION, each with the statement that grants it. The least that is needed is less than the right to
//! create: a schema of our own for the registry, and an outbox and a publication that their owner has made.

use std::fmt;

use cdc_bench_model::event::{SCHEMA, TABLE};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::source::PUBLICATION;

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingRight {
    /// What it is for.
    pub(crate) what: String,
    /// The statement that grants it.
    pub(crate) statement: String,
}

/// Rights that are missing, all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingRights {
    role: String,
    rights: Vec<MissingRight>,
}

impl MissingRights {
    pub(crate) fn is_empty(&self) -> bool {
        self.rights.is_empty()
    }

    /// What the role lacks.
    pub(crate) fn what(&self) -> String {
        let each: Vec<_> = self.rights.iter().map(|right| &*right.what).collect();
        format!("role \"{}\" lacks: {}", self.role, each.join(", "))
    }

    /// The statements, for a superuser or the owner of the outbox.
    pub(crate) fn statements(&self) -> String {
        let each: Vec<_> = self.rights.iter().map(|right| &*right.statement).collect();
        each.join("; ")
    }
}

impl fmt::Display for MissingRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.statements())
    }
}

/// What of the source is there, and what the role may do with it; `None`: it is not there.
const QUESTION: &str = "SELECT current_user::text, current_database()::text, \
    has_database_privilege(current_database(), 'CREATE'), \
    (SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'cdc_bench'), \
    (SELECT has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'DELETE') \
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'cdc_bench' AND c.relname = 'ledger'), \
    (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1), \
    (SELECT has_table_privilege(c.oid, 'SELECT') \
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2), \
    (SELECT has_table_privilege(c.oid, 'INSERT') \
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2), \
    (SELECT pg_has_role(c.relowner, 'USAGE') \
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2), \
    EXISTS (SELECT FROM pg_publication WHERE pubname = $3)";

/// What the role of this connection lacks for a run.
///
/// # Errors
/// When the catalogues cannot be read.
pub(crate) async fn missing_rights(client: &Client) -> Result<MissingRights, Failure> {
    let (role, database, facts) = read_facts(client).await?;
    let rights = facts.missing(&escape_identifier(&role), &escape_identifier(&database));
    Ok(MissingRights { role, rights })
}

/// Checks that the role may use the registry, where there is one.
///
/// # Errors
/// When it may not.
pub(crate) async fn check_registry(client: &Client) -> Result<(), Failure> {
    let (role, _, facts) = read_facts(client).await?;
    if facts.registry_table != Some(false) {
        return Ok(());
    }
    let rights = vec![registry_right(&escape_identifier(&role))];
    let missing = MissingRights { role, rights };
    Err(Failure::server(anyhow::anyhow!("PostgreSQL: {missing}")))
}

/// The right to use the registry that is there.
fn registry_right(role: &str) -> MissingRight {
    MissingRight {
        what: "the registry's table".to_owned(),
        statement: format!(
            "GRANT USAGE ON SCHEMA cdc_bench TO {role}; GRANT SELECT, INSERT, DELETE ON cdc_bench.ledger TO {role}"
        ),
    }
}

async fn read_facts(client: &Client) -> Result<(String, String, Facts), Failure> {
    let row = client
        .query_one(QUESTION, &[&SCHEMA, &TABLE, &PUBLICATION])
        .await?;
    let (role, database): (String, String) = (row.get(0), row.get(1));
    let is = |column: usize| row.get::<_, Option<bool>>(column);
    let facts = Facts {
        may_create: is(2) == Some(true),
        registry_schema: is(3),
        registry_table: is(4),
        outbox_schema: is(5),
        may_select: is(6),
        may_insert: is(7),
        owns_outbox: is(8) == Some(true),
        has_publication: is(9) == Some(true),
    };
    Ok((role, database, facts))
}

/// The answer to [`QUESTION`].
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Schemas and publications in this database.
    may_create: bool,
    registry_schema: Option<bool>,
    registry_table: Option<bool>,
    outbox_schema: Option<bool>,
    may_select: Option<bool>,
    may_insert: Option<bool>,
    owns_outbox: bool,
    has_publication: bool,
}

impl Facts {
    fn missing(self, role: &str, database: &str) -> Vec<MissingRight> {
        let mut rights = Vec::new();
        if self.registry_table == Some(false) {
            rights.push(registry_right(role));
        }
        let mut lack = |what: &str, statement: String| {
            rights.push(MissingRight {
                what: what.to_owned(),
                statement,
            });
        };
        match (self.registry_table, self.registry_schema) {
            (Some(_), _) | (None, Some(true)) => {}
            (None, Some(false)) => lack(
                "the registry's schema",
                format!("GRANT USAGE, CREATE ON SCHEMA cdc_bench TO {role}"),
            ),
            (None, None) if self.may_create => {}
            (None, None) => lack(
                "a schema for the registry of what was made",
                format!("CREATE SCHEMA cdc_bench AUTHORIZATION {role}"),
            ),
        }
        let (Some(may_select), Some(may_insert)) = (self.may_select, self.may_insert) else {
            if !self.may_create {
                lack(
                    &format!("a table {SCHEMA}.{TABLE} or the right to create it"),
                    format!("GRANT CREATE ON DATABASE {database} TO {role}"),
                );
            }
            return rights;
        };
        if self.outbox_schema != Some(true) {
            lack(
                &format!("USAGE on schema {SCHEMA}"),
                format!("GRANT USAGE ON SCHEMA {SCHEMA} TO {role}"),
            );
        }
        for (may, right) in [(may_select, "SELECT"), (may_insert, "INSERT")] {
            if !may {
                lack(
                    &format!("{right} on {SCHEMA}.{TABLE}"),
                    format!("GRANT {right} ON {SCHEMA}.{TABLE} TO {role}"),
                );
            }
        }
        let makes_publication = self.may_create && self.owns_outbox;
        if !self.has_publication && !makes_publication {
            lack(
                &format!("a publication of {SCHEMA}.{TABLE}"),
                format!("CREATE PUBLICATION {PUBLICATION} FOR TABLE {SCHEMA}.{TABLE}"),
            );
        }
        rights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A role with exactly what is documented.
    const LEAST: Facts = Facts {
        may_create: false,
        registry_schema: Some(true),
        registry_table: None,
        outbox_schema: Some(true),
        may_select: Some(true),
        may_insert: Some(true),
        owns_outbox: false,
        has_publication: true,
    };

    fn statements(facts: Facts) -> Vec<String> {
        let rights = facts.missing("\"r\"", "\"d\"").into_iter();
        rights.map(|right| right.statement).collect()
    }

    #[test]
    fn every_right_that_is_missing_is_named_at_once() {
        assert_eq!(statements(LEAST), [""; 0]);
        let nothing = Facts {
            registry_schema: None,
            outbox_schema: Some(false),
            may_select: Some(false),
            may_insert: Some(false),
            has_publication: false,
            ..LEAST
        };
        assert_eq!(
            statements(nothing),
            [
                "CREATE SCHEMA cdc_bench AUTHORIZATION \"r\"",
                "GRANT USAGE ON SCHEMA activity TO \"r\"",
                "GRANT SELECT ON activity.event_outbox TO \"r\"",
                "GRANT INSERT ON activity.event_outbox TO \"r\"",
                "CREATE PUBLICATION cdc_bench FOR TABLE activity.event_outbox",
            ]
        );
    }

    #[test]
    fn a_role_that_may_create_needs_nothing_that_is_there() {
        let empty = Facts {
            may_create: true,
            registry_schema: None,
            outbox_schema: None,
            may_select: None,
            may_insert: None,
            has_publication: false,
            ..LEAST
        };
        assert_eq!(statements(empty), [""; 0]);
        let may_not = Facts {
            may_create: false,
            ..empty
        };
        assert_eq!(
            statements(may_not),
            [
                "CREATE SCHEMA cdc_bench AUTHORIZATION \"r\"",
                "GRANT CREATE ON DATABASE \"d\" TO \"r\"",
            ]
        );
        // The registry of another role.
        let others = Facts {
            registry_schema: Some(false),
            registry_table: Some(false),
            ..LEAST
        };
        assert!(statements(others)[0].contains("ON cdc_bench.ledger TO \"r\""));
    }
}
