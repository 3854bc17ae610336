//! `sslmode` `allow` and `prefer`: a connection is tried in a second way when the first is refused.

use super::error::WireError;
use crate::{Server, SslMode};

/// `invalid_authorization_specification`: what a server says to a connection that `pg_hba.conf` lets in only encrypted, or only
/// unencrypted. A wrong password has a state of its own.
pub(super) const NOT_IN_HBA: &str = "28000";

/// An error after which the other way of encryption may be let in.
pub(super) trait Refusal: From<WireError> {
    fn may_be_of_encryption(&self) -> bool;

    /// Whether the server let the connection in, and refused who came.
    fn is_of_who_we_are(&self) -> bool;
}

impl Refusal for WireError {
    fn may_be_of_encryption(&self) -> bool {
        match self {
            Self::Server(message) => message.code == NOT_IN_HBA,
            Self::Tls(..) => true,
            _ => false,
        }
    }

    fn is_of_who_we_are(&self) -> bool {
        match self {
            Self::Server(message) => message.code != NOT_IN_HBA,
            Self::NoPassword | Self::Auth(_) => true,
            _ => false,
        }
    }
}

/// Opens a session as [`crate::TlsConfig::mode`] says; each attempt may take
/// [`NetworkSettings::connect_timeout`](crate::NetworkSettings). When each way is refused, the error is that of the one that was let
/// in, and if neither was, that of the encrypted one.
pub(super) async fn over_modes<T, E, F>(server: &Server, open: impl Fn(Server) -> F) -> Result<T, E>
where
    E: Refusal,
    F: Future<Output = Result<T, E>>,
{
    let mut attempts = server.attempts().into_iter();
    let (first, second) = (attempts.next(), attempts.next());
    let network = &server.network;
    let first = open(first.unwrap_or_else(|| server.clone()));
    let first = network.in_time(first).await;
    let (error, second) = match (first, second) {
        (Err(error), Some(second)) if error.may_be_of_encryption() => (error, second),
        (opened, _) => return opened,
    };
    let retried = network.in_time(open(second)).await;
    match retried {
        Err(second) if server.tls.mode == SslMode::Prefer && !second.is_of_who_we_are() => {
            Err(error)
        }
        retried => retried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServerMessage, TlsConfig};

    /// The modes that are tried when each attempt fails with the next of these SQLSTATEs, and the text of the error in the end.
    async fn tried(mode: SslMode, host: &str, codes: &[&str]) -> (Vec<SslMode>, String) {
        let mut server = Server::new(host, 1, "me", String::new(), "d");
        server.tls = TlsConfig {
            mode,
            ..TlsConfig::disabled()
        };
        let modes = std::sync::Mutex::new(Vec::new());
        let refused = |server: Server| {
            let mut modes = modes.lock().unwrap();
            let code = codes.get(modes.len()).or(codes.last()).unwrap();
            modes.push(server.tls.mode);
            std::future::ready(Err::<(), _>(WireError::from(ServerMessage {
                code: (*code).to_owned(),
                message: format!("{:?}", server.tls.mode),
                ..ServerMessage::default()
            })))
        };
        let error = over_modes(&server, refused).await.unwrap_err();
        let modes = modes.into_inner().unwrap();
        (modes, error.to_string())
    }

    #[tokio::test]
    async fn allow_and_prefer_are_two_attempts_where_the_first_is_not_in_pg_hba() {
        use SslMode::{Allow, Disable, Prefer, Require};
        let (modes, error) = tried(Allow, "db", &[NOT_IN_HBA]).await;
        assert_eq!(modes, [Disable, Require]);
        assert!(error.starts_with("Require"), "{error}");
        let (modes, error) = tried(Prefer, "db", &[NOT_IN_HBA]).await;
        assert_eq!(modes, [Prefer, Disable]);
        assert!(error.starts_with("Prefer"), "{error}");
        // pg_hba.conf has a line for unencrypted connections alone, and the password is wrong.
        let (modes, error) = tried(Prefer, "db", &[NOT_IN_HBA, "28P01"]).await;
        assert_eq!(modes, [Prefer, Disable]);
        assert!(error.starts_with("Disable"), "{error}");
        assert_eq!(tried(Prefer, "db", &["28P01"]).await.0, [Prefer]);
        assert_eq!(tried(Require, "db", &[NOT_IN_HBA]).await.0, [Require]);
        assert_eq!(tried(Allow, "/run", &[NOT_IN_HBA]).await.0, [Allow]);
    }
}
