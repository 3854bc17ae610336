//! Limits of connections: of the role, of the database and of the server.

use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::error::{SourceError, refused};

/// Connections of a connector of ours, at least.
pub(crate) const CONNECTOR_CONNECTIONS: i64 = 2;
/// Connections of our reader.
pub(crate) const READER_CONNECTIONS: i64 = 1;

/// What limits connections, and how many there are now. Sessions of replication have a limit of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Connections {
    role: String,
    database: String,
    of_role: Limit,
    of_database: Limit,
    of_server: Limit,
}

/// A limit, and what of it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    /// Negative: none.
    most: i64,
    used: i64,
}

impl Limit {
    fn has_room_for(self, needed: i64) -> bool {
        self.most < 0 || self.most - self.used >= needed
    }
}

/// The limits of role and database are not for superusers, and neither are the connections that are reserved. The type of another
/// role's session is not shown to everyone; its role is.
const QUESTION: &str = "WITH sessions AS (SELECT usename, datname FROM pg_stat_activity WHERE usesysid IS NOT NULL \
      AND coalesce(backend_type, 'client backend') = 'client backend' AND pid NOT IN (SELECT pid FROM pg_stat_replication)) \
    SELECT current_user::text, current_database()::text, rolsuper, rolconnlimit::bigint, \
    (SELECT datconnlimit::bigint FROM pg_database WHERE datname = current_database()), \
    current_setting('max_connections')::bigint, \
    current_setting('superuser_reserved_connections')::bigint \
      + coalesce(nullif(current_setting('reserved_connections', true), '')::bigint, 0), \
    (SELECT count(*) FROM sessions WHERE usename = current_user), \
    (SELECT count(*) FROM sessions WHERE datname = current_database()), \
    (SELECT count(*) FROM sessions) \
    FROM pg_roles WHERE rolname = current_user";

/// Checks that so many more connections may be opened by the role of this one.
///
/// # Errors
/// [`SourceError::Connections`] with the limit that forbids it, or when the server refuses.
pub(super) async fn check_connections(client: &Client, needed: i64) -> Result<(), SourceError> {
    let row = client
        .query_one(QUESTION, &[])
        .await
        .map_err(refused("read its limits"))?;
    let is_superuser: bool = row.get(2);
    let number = |column: usize| row.get::<_, i64>(column);
    let unless_superuser = |most: i64| if is_superuser { -1 } else { most };
    let reserved = if is_superuser { 0 } else { number(6) };
    let connections = Connections {
        role: row.get(0),
        database: row.get(1),
        of_role: Limit {
            most: unless_superuser(number(3)),
            used: number(7),
        },
        of_database: Limit {
            most: unless_superuser(number(4)),
            used: number(8),
        },
        of_server: Limit {
            most: number(5) - reserved,
            used: number(9),
        },
    };
    connections.check(needed)
}

impl Connections {
    fn check(self, needed: i64) -> Result<(), SourceError> {
        let Self { role, database, .. } = self;
        let (by_role, by_database) = (escape_identifier(&role), escape_identifier(&database));
        let limits = [
            (
                self.of_role,
                format!("CONNECTION LIMIT of role \"{role}\""),
                format!("ALTER ROLE {by_role} CONNECTION LIMIT -1"),
            ),
            (
                self.of_database,
                format!("CONNECTION LIMIT of database \"{database}\""),
                format!("ALTER DATABASE {by_database} CONNECTION LIMIT -1"),
            ),
            (
                self.of_server,
                "max_connections, without those that are reserved,".to_owned(),
                "raise max_connections, or end sessions".to_owned(),
            ),
        ];
        for (limit, what, raise) in limits {
            if !limit.has_room_for(needed) {
                return Err(SourceError::Connections {
                    user: role,
                    reason: format!(
                        "{what} is {}, {} are in use, and {needed} more are needed",
                        limit.most, limit.used
                    ),
                    raise,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_is_full_is_named_with_what_raises_it() {
        let none = Limit { most: -1, used: 50 };
        let free = Connections {
            role: "r".to_owned(),
            database: "d".to_owned(),
            of_role: none,
            of_database: none,
            of_server: Limit {
                most: 97,
                used: 97 - 8,
            },
        };
        assert!(free.clone().check(8).is_ok());
        let full = Limit { most: 9, used: 2 };
        for (connections, raise) in [
            (
                Connections {
                    of_role: full,
                    ..free.clone()
                },
                "ALTER ROLE \"r\" CONNECTION LIMIT",
            ),
            (
                Connections {
                    of_database: full,
                    ..free.clone()
                },
                "ALTER DATABASE \"d\" CONNECTION LIMIT",
            ),
            (
                Connections {
                    of_server: full,
                    ..free.clone()
                },
                "max_connections",
            ),
        ] {
            let error = connections.check(8).unwrap_err().to_string();
            assert!(error.contains(raise), "{error}");
            assert!(error.contains("is 9, 2 are in use"), "{error}");
        }
    }
}
