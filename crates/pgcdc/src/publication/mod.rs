//! Publications for given tables: looked at first, created last, and never so that the application's statements fail.

mod error;
mod existing;
mod tables;

use std::collections::BTreeSet;
use std::fmt;

use postgres_protocol::escape::{escape_identifier, escape_literal};

pub use self::error::PublicationError;
use self::existing::ExistingPublications;
use self::tables::{AskedTable, CatalogueTable, look_up};
use super::server::Server;
use super::slots::query;
use super::{ReaderError, TableName};

/// What is to be published, and under which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationRequest {
    /// Name of the publication of tables with a replica identity.
    pub name: String,
    /// Name of the publication of tables without one: of their inserts and truncates only, because PostgreSQL refuses an
    /// `UPDATE` or `DELETE` of a table without replica identity once its updates or deletes are published.
    pub inserts_name: String,
    /// The tables. One that is partitioned is published as a whole, under its own name.
    pub tables: Vec<TableName>,
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
            Self::UnderPartitions { table, publication } => write!(
                f,
                "changes of {} come under the names of its partitions: ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
                table.to_sql(),
                escape_identifier(publication)
            ),
        }
    }
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
    /// When the tables cannot be published, or a publication of such a name has others.
    pub async fn look(
        server: &Server,
        request: PublicationRequest,
    ) -> Result<Self, PublicationError> {
        let rights = rights(server).await?;
        let asked = look_up(server, &request.tables).await?;
        let existing =
            ExistingPublications::read(server, &request.name, &request.inserts_name).await?;
        let mut plan = Self {
            server: server.clone(),
            tables: asked.iter().map(|asked| asked.table.name.clone()).collect(),
            request,
            names: Vec::new(),
            warnings: Vec::new(),
            statements: Vec::new(),
        };
        if existing.is_empty() {
            plan.plan_new(server, &rights, &asked)?;
        } else {
            plan.names = existing.names();
            existing.check(&asked, &plan.request.name)?;
            plan.warnings = existing.warnings(&asked);
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
            let reason = no_identity(asked);
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

/// Why an update of a table, or of one of its partitions, would fail if updates were published.
fn no_identity(asked: &AskedTable) -> Option<String> {
    if !asked.table.is_partitioned() {
        return asked.table.no_identity().map(str::to_owned);
    }
    let mut without = asked
        .leaves()
        .filter(|leaf| leaf.is_publishable())
        .filter_map(|leaf| Some((leaf, leaf.no_identity()?)));
    if let Some((leaf, reason)) = without.next() {
        return Some(format!("of its partition {}, {reason}", leaf.name.to_sql()));
    }
    let has_leaves = asked.leaves().next().is_some();
    (!has_leaves && !asked.gives_identity()).then(|| "it has no primary key".to_owned())
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
