//! The right to replicate: by the catalogue, and by what the server does.

use cdc_bench_stack::PostgresEndpoint;
use pgcdc::ReaderError;
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
}

/// Checks that our role may replicate, and that PostgreSQL itself answers rather than a pooler. A member of `rds_replication` may,
/// by RDS' own rule. Of any other role the server is believed, which lets it open a replication session or does not: providers
/// have more ways to grant the right than the attribute.
///
/// # Errors
/// Without the right, with the statement that grants it; for a pooler; when the server does not answer.
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
        Err(ReaderError::Refused { message, .. }) => judge(right, &message.to_string()),
        // Every sender is in use, which the check of the settings says.
        Err(ReaderError::NoFreeSlot { .. }) => Ok(()),
        Err(error) => Err(SourceError::Refused {
            action: "open a replication session".to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// What follows when the server has refused a replication session.
fn judge(right: CatalogueRight, reason: &str) -> Result<(), SourceError> {
    let CatalogueRight {
        role,
        has_attribute,
        rds,
    } = right;
    if rds == Some(true) {
        tracing::warn!(
            role,
            reason,
            "a member of rds_replication was refused a replication session; its slot may be, too"
        );
        return Ok(());
    }
    if has_attribute {
        return Err(SourceError::Refused {
            action: format!("open a replication session as \"{role}\", which has the right"),
            reason: format!("{reason}; pg_hba.conf may not let it in"),
        });
    }
    let grant = if rds.is_some() {
        format!("GRANT {RDS} TO \"{role}\"")
    } else {
        format!("ALTER ROLE \"{role}\" REPLICATION")
    };
    Err(SourceError::NoReplication {
        role,
        reason: reason.to_owned(),
        grant,
    })
}

async fn of_catalogue(client: &Client) -> Result<CatalogueRight, SourceError> {
    let question = "SELECT rolname::text, rolsuper OR rolreplication, \
        (SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1) \
        FROM pg_roles WHERE rolname = current_user";
    let row = client.query_one(question, &[&RDS]).await;
    let row = row.map_err(refused("read its roles"))?;
    Ok(CatalogueRight {
        role: row.get(0),
        has_attribute: row.get(1),
        rds: row.get(2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_to(has_attribute: bool, rds: Option<bool>) -> Option<String> {
        let right = CatalogueRight {
            role: "me".to_owned(),
            has_attribute,
            rds,
        };
        judge(right, "nein").err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_missing_is_said_with_the_statement_that_grants_it() {
        assert_eq!(refused_to(false, Some(true)), None);
        let rds = refused_to(false, Some(false)).unwrap();
        assert!(rds.contains("GRANT rds_replication TO \"me\""), "{rds}");
        let plain = refused_to(false, None).unwrap();
        assert!(plain.contains("ALTER ROLE \"me\" REPLICATION"), "{plain}");
        assert!(plain.contains("nein"), "{plain}");
        assert!(refused_to(true, None).unwrap().contains("pg_hba.conf"));
    }
}
