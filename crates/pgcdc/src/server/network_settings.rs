//! How long a connection may take, and how a peer that is gone is noticed.

use std::time::Duration;

use crate::wire::WireError;

/// Timeouts of connections, in libpq's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Longest wait for the connection, TLS and the login together (`connect_timeout`); `None`: no limit.
    pub connect_timeout: Option<Duration>,
    /// Probes of a connection without traffic (`keepalives`); `None`: none are sent.
    pub keepalives: Option<Keepalives>,
    /// How long sent bytes may stay unconfirmed before the connection is broken (`tcp_user_timeout`, Linux); `None`: as the
    /// operating system has it.
    pub user_timeout: Option<Duration>,
}

impl NetworkSettings {
    /// Opens a connection within [`NetworkSettings::connect_timeout`].
    pub(crate) async fn in_time<T, E: From<WireError>>(
        &self,
        opening: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.connect_timeout {
            None => opening.await,
            Some(limit) => tokio::time::timeout(limit, opening)
                .await
                .unwrap_or_else(|_| Err(WireError::Silent(limit).into())),
        }
    }
}

/// Probes of a connection without traffic. What is `None` is as the operating system has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalives {
    /// Time without traffic before the first probe.
    pub idle: Option<Duration>,
    /// Time between two probes.
    pub interval: Option<Duration>,
    /// Probes without an answer that break the connection.
    pub count: Option<u32>,
}

impl Default for Keepalives {
    fn default() -> Self {
        Self {
            idle: Some(Duration::from_secs(30)),
            interval: Some(Duration::from_secs(10)),
            count: Some(3),
        }
    }
}

impl Default for NetworkSettings {
    /// A host that is gone is noticed within a minute.
    fn default() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(10)),
            keepalives: Some(Keepalives::default()),
            user_timeout: Some(Duration::from_secs(60)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::wire::{CopySession, ReplicationSession};
    use crate::{Server, SslMode, TlsConfig};

    const LIMIT: Duration = Duration::from_millis(50);

    /// A server that answers a connection's first message with these bytes and then no more.
    async fn silent_after(answer: &'static [u8]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                socket.read_exact(&mut [0; 8]).await.unwrap();
                socket.write_all(answer).await.unwrap();
                kept.push(socket);
            }
        });
        let mut server = Server::new("127.0.0.1", port, "me", "secret".to_owned(), "d");
        server.network.connect_timeout = Some(LIMIT);
        server
    }

    /// How each kind of session ends.
    async fn refusals(server: &Server) -> [String; 3] {
        let client = server.client(&tokio_postgres::Config::new()).await;
        [
            client.err().unwrap().to_string(),
            WireError::to_string(&ReplicationSession::open(server).await.err().unwrap()),
            CopySession::open(server, 1_000)
                .await
                .unwrap_err()
                .to_string(),
        ]
    }

    #[tokio::test]
    async fn a_server_that_takes_the_connection_and_says_nothing_is_left_in_time() {
        let md5_asked = b"R\0\0\0\x0c\0\0\0\x05salt";
        for (mode, answer) in [
            (SslMode::Prefer, &b""[..]),
            (SslMode::Prefer, b"N"),
            (SslMode::Require, b"S"),
            (SslMode::Disable, b""),
            (SslMode::Disable, md5_asked),
        ] {
            let mut server = silent_after(answer).await;
            server.tls = TlsConfig {
                mode,
                ..TlsConfig::disabled()
            };
            for refusal in refusals(&server).await {
                let asked = format!("{mode:?}, {}", answer.escape_ascii());
                assert_eq!(refusal, "no answer from the server for 0.05 s", "{asked}");
            }
        }
    }
}
