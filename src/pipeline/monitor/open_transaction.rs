//! The oldest transaction that PostgreSQL holds WAL back for: a slot's restart_lsn does not pass the beginning of a transaction that is
//! open, whoever reads the slot and in whichever database of the server it is.

use std::fmt;

use tokio_postgres::{Client, Error};

use crate::pipeline::monitor::wal_history::ServerMicros;

/// The oldest transaction of those that have written something. A prepared one has no session.
const QUESTION: &str = "SELECT (extract(epoch FROM xact_start) * 1e6)::bigint AS began, pid, usename::text, datname::text, \
        application_name, host(client_addr), state, NULL AS gid \
        FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start IS NOT NULL AND pid <> pg_backend_pid() \
    UNION ALL SELECT (extract(epoch FROM prepared) * 1e6)::bigint, NULL, owner::text, database::text, NULL, NULL, NULL, gid \
        FROM pg_prepared_xacts \
    ORDER BY began LIMIT 1";

/// A transaction that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenTransaction {
    /// When it began, or was prepared; of one that may not be seen: since when it is known to be open.
    pub(super) began: ServerMicros,
    pub(super) owner: TransactionOwner,
}

/// Whose transaction it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TransactionOwner {
    Session {
        pid: i32,
        user: Option<String>,
        database: Option<String>,
        application: Option<String>,
        /// `None` for a socket of the same machine.
        address: Option<String>,
        state: Option<String>,
    },
    /// Prepared for two-phase commit.
    Prepared {
        gid: String,
        user: Option<String>,
        database: Option<String>,
    },
    /// This user may not see it.
    Hidden { from: String },
}

impl OpenTransaction {
    /// Looks for the oldest one that may be seen.
    pub(super) async fn oldest(client: &Client) -> Result<Option<Self>, Error> {
        let row = client.query_opt(QUESTION, &[]).await?;
        Ok(row.map(|row| {
            let pid: Option<i32> = row.get(1);
            let gid: Option<String> = row.get(7);
            let (user, database) = (row.get(2), row.get(3));
            Self {
                began: row.get(0),
                owner: match gid {
                    Some(gid) => TransactionOwner::Prepared {
                        gid,
                        user,
                        database,
                    },
                    None => TransactionOwner::Session {
                        pid: pid.unwrap_or_default(),
                        user,
                        database,
                        application: row.get(4),
                        address: row.get(5),
                        state: row.get(6),
                    },
                },
            }
        }))
    }
}

/// Whose it is and what ends it, such as `process 12, user "app": commit it ...`.
impl fmt::Display for TransactionOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, what: &str, name: &Option<String>| match name {
            Some(name) if !name.is_empty() => write!(f, ", {what} \"{name}\""),
            _ => Ok(()),
        };
        match self {
            Self::Session {
                pid,
                user,
                database,
                application,
                address,
                state,
            } => {
                write!(f, "process {pid}")?;
                named(f, "user", user)?;
                named(f, "database", database)?;
                named(f, "application", application)?;
                if let Some(address) = address {
                    write!(f, ", from {address}")?;
                }
                if let Some(state) = state {
                    write!(f, ", {state}")?;
                }
                write!(
                    f,
                    "; commit it or roll it back, or end its session: SELECT pg_terminate_backend({pid})"
                )
            }
            Self::Prepared {
                gid,
                user,
                database,
            } => {
                let gid = gid.replace('\'', "''");
                write!(f, "prepared as '{gid}'")?;
                named(f, "user", user)?;
                named(f, "database", database)?;
                write!(
                    f,
                    "; in that database: COMMIT PREPARED '{gid}', or ROLLBACK PREPARED '{gid}'"
                )
            }
            Self::Hidden { from } => {
                let quoted = from.replace('"', "\"\"");
                write!(
                    f,
                    "user \"{from}\" may not see whose it is; as a superuser: SELECT pid, usename, application_name, xact_start FROM \
                     pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start, or let that user see it: \
                     GRANT pg_read_all_stats TO \"{quoted}\""
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_named_with_what_ends_it() {
        let text = |text: &str| Some(text.to_owned());
        let session = TransactionOwner::Session {
            pid: 12,
            user: text("app"),
            database: text("shop"),
            application: text(""),
            address: text("10.0.0.7"),
            state: text("idle in transaction"),
        };
        assert_eq!(
            session.to_string(),
            "process 12, user \"app\", database \"shop\", from 10.0.0.7, idle in transaction; commit it or roll it back, or end its \
             session: SELECT pg_terminate_backend(12)"
        );
        let prepared = TransactionOwner::Prepared {
            gid: "it's".to_owned(),
            user: text("app"),
            database: None,
        };
        assert_eq!(
            prepared.to_string(),
            "prepared as 'it''s', user \"app\"; in that database: COMMIT PREPARED 'it''s', or ROLLBACK PREPARED 'it''s'"
        );
        let hidden = TransactionOwner::Hidden {
            from: "bench".to_owned(),
        };
        assert!(
            hidden
                .to_string()
                .ends_with("GRANT pg_read_all_stats TO \"bench\"")
        );
    }
}
