//! Publications for given tables: looked at first, created last, and never so that the application's statements fail.

mod error;
mod existing;
mod matching;
mod tables;
mod warning;

use std::collections::BTreeSet;

use postgres_protocol::escape::{escape_identifier, escape_literal};

pub use self::error::PublicationError;
use self::existing::ExistingPublications;
use self::matching::resolve;
use self::tables::{AskedTable, CatalogueTable, look_up};
pub use self::warning::PublicationWarning;
use crate::server::Server;
use crate::slots::query;
use crate::{ReaderError, TableName, TablePattern};

/// What is to be published, and under which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationRequest {
    /// Name of the publication of tables with a replica identity.
    pub name: String,
    /// Name of the publication of tables without one: of their inserts and truncates only, because PostgreSQL refuses an
    /// `UPDATE` or `DELETE` of a table without replica identity once its updates or deletes are published.
    pub inserts_name: String,
    /// The tables, by name or by pattern. A pattern stands for the tables that match when the plan is made, not for those that are
    /// created later. A table that is partitioned is published as a whole, under its own name.
    pub tables: Vec<TablePattern>,
    /// A comment on the publications, for example whose they are.
    pub comment: Option<String>,
}

/// What [`PublicationPlan::create`] will create: everything was looked at, and nothing is created yet.
#[derive(Debug, Clone)]
pub struct PublicationPlan {
    server: Server,
    request: PublicationRequest,
    names: Vec<String>,
    tables: Vec<TableName>,
    warnings: Vec<PublicationWarning>,
    /// Statements, each with the publication that it creates.
    statements: Vec<(String, String)>,
}

/// What the server and the user are able to do.
struct Rights {
    user: String,
    database: String,
    is_standby: bool,
    may_create: bool,
}

impl PublicationPlan {
    /// Looks at server, rights and tables, and at the publications of these names, if they exist. They must be of these tables
    /// then. A partition counts as published with the table that it is a partition of.
    ///
    /// # Errors
    /// When the tables cannot be published, nothing matches a pattern, or a publication of such a name has others.
    pub async fn look(
        server: &Server,
        request: PublicationRequest,
    ) -> Result<Self, PublicationError> {
        let rights = rights(server).await?;
        let mut warnings = Vec::new();
        let tables = resolve(server, &request.tables, &mut warnings).await?;
        let asked = look_up(server, &tables).await?;
        let existing =
            ExistingPublications::read(server, &request.name, &request.inserts_name).await?;
        let mut plan = Self {
            server: server.clone(),
            tables: asked.iter().map(|asked| asked.table.name.clone()).collect(),
            request,
            names: Vec::new(),
            warnings,
            statements: Vec::new(),
        };
        if existing.is_empty() {
            plan.plan_new(server, &rights, &asked)?;
        } else {
            plan.names = existing.names();
            existing.check(&asked, &plan.request.name)?;
            plan.warnings.extend(existing.warnings(&asked));
        }
        Ok(plan)
    }

    /// Names of the publications: of those that exist, or of those that will be created.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is nothing to create.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.statements.is_empty()
    }

    /// Names of the tables that the changes come under.
    #[must_use]
    pub fn tables(&self) -> &[TableName] {
        &self.tables
    }

    /// What the user should know.
    #[must_use]
    pub fn warnings(&self) -> &[PublicationWarning] {
        &self.warnings
    }

    /// Creates what does not exist, all of it or nothing. Returns the names of the publications that were created.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn create(&self) -> Result<Vec<String>, PublicationError> {
        if self.statements.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = self.statements.iter().map(|(name, _)| name).collect();
        let statements: Vec<_> = self.statements.iter().map(|(_, sql)| &**sql).collect();
        // Statements that are sent together are one transaction.
        match query(&self.server, &statements.join("; ")).await {
            Ok(_) => Ok(names.into_iter().cloned().collect()),
            Err(cause) => Err(PublicationError::Refused {
                action: format!("creating publication \"{}\"", self.names.join("\", \"")),
                cause,
            }),
        }
    }

    fn plan_new(
        &mut self,
        server: &Server,
        rights: &Rights,
        asked: &[AskedTable],
    ) -> Result<(), PublicationError> {
        for asked in asked {
            asked.table.check(&rights.user)?;
        }
        if rights.is_standby {
            return Err(PublicationError::Standby {
                server: server.address(),
            });
        }
        if !rights.may_create {
            return Err(PublicationError::NoCreate {
                user: rights.user.clone(),
                database: rights.database.clone(),
            });
        }
        let (mut whole, mut inserts) = (Members::default(), Members::default());
        for asked in asked {
            self.add(asked, &rights.user, &mut whole, &mut inserts)?;
        }
        let request = self.request.clone();
        for (members, name, is_whole) in [
            (whole, &request.name, true),
            (inserts, &request.inserts_name, false),
        ] {
            if !members.sql.is_empty() {
                let statement = create_statement(name, &members.sql, is_whole, &request.comment);
                self.statements.push((name.clone(), statement));
                self.names.push(name.clone());
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        asked: &AskedTable,
        user: &str,
        whole: &mut Members,
        inserts: &mut Members,
    ) -> Result<(), PublicationError> {
        let name = &asked.table.name;
        for below in &asked.below {
            if !below.is_publishable() {
                self.warnings.push(PublicationWarning::LeftOut {
                    table: below.name.clone(),
                    of: name.clone(),
                });
            }
        }
        if asked.table.is_partitioned() {
            let reason = asked.no_identity();
            if let Some(reason) = reason {
                self.inserts_only(name, reason);
                inserts.add(&asked.table);
            } else {
                if !asked.gives_identity() {
                    self.warnings.push(PublicationWarning::PartitionsToCome {
                        table: name.clone(),
                    });
                }
                whole.add(&asked.table);
            }
            return Ok(());
        }
        // Each table that inherits has a replica identity of its own.
        let below = asked.below.iter().filter(|below| below.is_publishable());
        for table in std::iter::once(&asked.table).chain(below) {
            table.check(user)?;
            match table.no_identity() {
                Some(reason) => {
                    if inserts.add(table) {
                        self.inserts_only(&table.name, reason.to_owned());
                    }
                }
                None => {
                    whole.add(table);
                }
            }
        }
        Ok(())
    }

    fn inserts_only(&mut self, table: &TableName, reason: String) {
        self.warnings.push(PublicationWarning::InsertsOnly {
            table: table.clone(),
            reason,
        });
    }
}

/// Members of a publication, each once.
#[derive(Default)]
struct Members {
    oids: BTreeSet<u32>,
    sql: Vec<String>,
}

impl Members {
    /// Adds a table, without those that inherit from it. False if it is there already.
    fn add(&mut self, table: &CatalogueTable) -> bool {
        let is_new = self.oids.insert(table.oid);
        if is_new {
            let only = if table.is_partitioned() { "" } else { "ONLY " };
            self.sql.push(format!(
                "{only}{}.{}",
                escape_identifier(&table.name.schema),
                escape_identifier(&table.name.name)
            ));
        }
        is_new
    }
}

fn create_statement(
    name: &str,
    members: &[String],
    is_whole: bool,
    comment: &Option<String>,
) -> String {
    let name = escape_identifier(name);
    let operations = if is_whole {
        ""
    } else {
        "publish = 'insert, truncate', "
    };
    let create = format!(
        "CREATE PUBLICATION {name} FOR TABLE {} WITH ({operations}publish_via_partition_root = true)",
        members.join(", ")
    );
    match comment {
        Some(comment) => format!(
            "{create}; COMMENT ON PUBLICATION {name} IS {}",
            escape_literal(comment)
        ),
        None => create,
    }
}

async fn rights(server: &Server) -> Result<Rights, ReaderError> {
    let sql = "SELECT current_setting('wal_level'), current_user, current_database(), \
               CASE WHEN pg_is_in_recovery() THEN 't' ELSE 'f' END, \
               CASE WHEN has_database_privilege(current_database(), 'CREATE') THEN 't' ELSE 'f' END";
    let rows = query(server, sql).await?;
    let text = |index: usize| rows.first()?.get(index)?.clone();
    if text(0).as_deref() != Some("logical") {
        return Err(ReaderError::WalLevel {
            server: server.address(),
        });
    }
    Ok(Rights {
        user: text(1).unwrap_or_default(),
        database: text(2).unwrap_or_default(),
        is_standby: text(3).as_deref() == Some("t"),
        may_create: text(4).as_deref() == Some("t"),
    })
}

/// The tables of these publications, by name.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn published_tables(
    server: &Server,
    publications: &[impl AsRef<str>],
) -> Result<Vec<TableName>, ReaderError> {
    let literals: Vec<_> = publications
        .iter()
        .map(|name| escape_literal(name.as_ref()))
        .collect();
    let sql = format!(
        "SELECT DISTINCT schemaname, tablename FROM pg_publication_tables WHERE pubname IN ({}) ORDER BY 1, 2",
        literals.join(", ")
    );
    let rows = query(server, &sql).await?;
    let table = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().flatten();
        Some(TableName::new(row.next()?, row.next()?))
    };
    Ok(rows.into_iter().filter_map(table).collect())
}

/// Drops a publication. One that does not exist is no error.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn drop_publication(server: &Server, name: &str) -> Result<(), ReaderError> {
    let name = escape_identifier(name);
    query(server, &format!("DROP PUBLICATION IF EXISTS {name}"))
        .await
        .map(drop)
}
