//! The right to replicate: by the catalogue, and by what the server does.

use cdc_bench_stack::PostgresEndpoint;
use pgcdc::ReaderError;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::error::{SourceError, refused};

/// The role of RDS and Aurora whose members may replicate without the attribute.
const RDS: &str = "rds_replication";

/// What the catalogue says of our role.
struct CatalogueRight {
    role: String,
    /// A superuser, or one with the attribute `REPLICATION`.
    has_attribute: bool,
    /// Whether the server has the role [`RDS`], and ours is a member of it.
    rds: Option<bool>,
    /// Whether every WAL sender is in use.
    senders_are_full: bool,
}

/// Checks that our role may replicate, and that PostgreSQL itself answers rather than a pooler. The server is believed, which lets
/// the role open a replication session or does not: providers have more ways to grant the right than the attribute.
///
/// # Errors
/// Without the right, with the statement that grants it; for a pooler; for a limit of connections; when the server does not answer.
pub(crate) async fn check_replication(
    client: &Client,
    endpoint: &PostgresEndpoint,
) -> Result<(), SourceError> {
    let right = of_catalogue(client).await?;
    match pgcdc::check_replication(endpoint).await {
        Ok(()) => Ok(()),
        Err(ReaderError::Pooler { message, .. }) => Err(SourceError::Pooler {
            server: endpoint.to_string(),
            reason: message.to_string(),
        }),
        Err(ReaderError::Refused { message, .. }) => Err(judge(right, &message.to_string())),
        // Which the check of the settings says, with the numbers.
        Err(ReaderError::NoFreeSlot { .. }) if right.senders_are_full => Ok(()),
        Err(ReaderError::NoFreeSlot { reason, .. }) => Err(SourceError::Connections {
            user: endpoint.to_string(),
            reason,
            raise: format!(
                "ALTER ROLE {} CONNECTION LIMIT -1, or whichever limit it names",
                escape_identifier(&right.role)
            ),
        }),
        Err(error) => Err(SourceError::Refused {
            action: "open a replication session".to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// The error for a replication session that the server has refused.
fn judge(right: CatalogueRight, reason: &str) -> SourceError {
    let CatalogueRight {
        role,
        has_attribute,
        rds,
        ..
    } = right;
    if has_attribute {
        return SourceError::Refused {
            action: format!("open a replication session as \"{role}\", which has the right"),
            reason: format!("{reason}; pg_hba.conf may not let it in"),
        };
    }
    let quoted = escape_identifier(&role);
    let grant = match rds {
        Some(true) => format!(
            "it is a member of {RDS} already: on RDS and Aurora set rds.logical_replication = 1 and restart the server, elsewhere ALTER ROLE {quoted} REPLICATION"
        ),
        Some(false) => format!("GRANT {RDS} TO {quoted}"),
        None => format!("ALTER ROLE {quoted} REPLICATION"),
    };
    SourceError::NoReplication {
        role,
        reason: reason.to_owned(),
        grant,
    }
}

async fn of_catalogue(client: &Client) -> Result<CatalogueRight, SourceError> {
    let question = "SELECT rolname::text, rolsuper OR rolreplication, \
        (SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1), \
        (SELECT count(*) FROM pg_stat_replication) >= current_setting('max_wal_senders')::bigint \
        FROM pg_roles WHERE rolname = current_user";
    let row = client.query_one(question, &[&RDS]).await;
    let row = row.map_err(refused("read its roles"))?;
    Ok(CatalogueRight {
        role: row.get(0),
        has_attribute: row.get(1),
        rds: row.get(2),
        senders_are_full: row.get(3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_to(has_attribute: bool, rds: Option<bool>) -> String {
        let right = CatalogueRight {
            role: "me".to_owned(),
            has_attribute,
            rds,
            senders_are_full: false,
        };
        judge(right, "nein").to_string()
    }

    #[test]
    fn what_is_missing_is_said_with_the_statement_that_grants_it() {
        let member = refused_to(false, Some(true));
        for words in [
            "rds.logical_replication",
            "ALTER ROLE \"me\" REPLICATION",
            "nein",
        ] {
            assert!(member.contains(words), "{member}");
        }
        let rds = refused_to(false, Some(false));
        assert!(rds.contains("GRANT rds_replication TO \"me\""), "{rds}");
        let plain = refused_to(false, None);
        assert!(plain.contains("ALTER ROLE \"me\" REPLICATION"), "{plain}");
        assert!(plain.contains("nein"), "{plain}");
        assert!(refused_to(true, None).contains("pg_hba.conf"));
    }
}
