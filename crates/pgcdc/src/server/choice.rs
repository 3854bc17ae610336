//! The choice among several servers.

use crate::server::session::Session;
use crate::server::target::{SessionState, SessionTarget};
use crate::{ReaderError, Server, ServerList};

/// No server of a list is of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("of the servers {servers} none is as wanted (target_session_attrs={target}): {reasons}")]
pub struct NoServer {
    servers: String,
    target: &'static str,
    reasons: String,
}

impl ServerList {
    /// The first server with the wanted kind of session. One that refuses the user ends the search, as with libpq: it is
    /// returned, and the next connection to it says why. A single server of which anything is accepted is not asked.
    ///
    /// # Errors
    /// When there is none: what each one is, or why it does not answer.
    pub async fn choose(&self) -> Result<Server, NoServer> {
        if let ([only], SessionTarget::Any) = (&*self.servers, self.target) {
            return Ok(only.clone());
        }
        let mut targets = vec![self.target];
        if self.target == SessionTarget::PreferStandby {
            targets.push(SessionTarget::Any);
        }
        let mut reasons = Vec::new();
        for target in targets {
            reasons.clear();
            for server in &self.servers {
                let reason = match session_state(server).await {
                    Ok(state) if target.accepts(state) => return Ok(server.clone()),
                    Ok(_) => target.refusal().to_owned(),
                    Err(ReaderError::Connection { reason, .. }) => reason,
                    Err(error) if error.is_permanent() => return Ok(server.clone()),
                    Err(error) => error.to_string(),
                };
                reasons.push(format!("{}: {reason}", server.address()));
            }
        }
        let servers: Vec<_> = self.servers.iter().map(Server::address).collect();
        Err(NoServer {
            servers: servers.join(", "),
            target: self.target.word(),
            reasons: reasons.join("; "),
        })
    }
}

async fn session_state(server: &Server) -> Result<SessionState, ReaderError> {
    let question = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";
    let rows = Session::open(server).await?.query(question).await?;
    let is = |index: usize| {
        let value = rows.first().and_then(|row| row.get(index)?.as_deref());
        value == Some("t")
    };
    Ok(SessionState {
        is_standby: is(0),
        is_read_only: is(1),
    })
}
