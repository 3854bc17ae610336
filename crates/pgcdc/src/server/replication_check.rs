//! Whether a server lets a user replicate: asked of the server, which knows more than its catalogue says.

use crate::wire::ReplicationSession;
use crate::{ReaderError, Server};

/// Opens a replication session and ends it. Nothing is created.
///
/// A role may replicate by its attribute, or as the provider of the server has it (RDS: a member of `rds_replication`), and not
/// through most connection poolers.
///
/// # Errors
/// [`ReaderError::Refused`] without the right, [`ReaderError::Pooler`], or when there is no connection.
pub async fn check_replication(server: &Server) -> Result<(), ReaderError> {
    let asked = async {
        let mut session = ReplicationSession::open(server).await?;
        session.identify().await
    };
    let answer = asked.await.map(drop);
    answer.map_err(|error| server.reader_error(&error))
}
