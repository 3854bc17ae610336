//! tokio-postgres over a socket of ours: it connects, encrypts and authenticates as the reader does.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{ChannelBinding as ClientBinding, SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding as EndPoint, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Connection, NoTls};

use super::encryption::{NOT_IN_HBA, Refusal, over_modes};
use super::{ServerMessage, Socket, WireError};
use crate::server::tls_config::ChannelBinding;
use crate::{Server, error};

/// The client's words for a request of a password where it has none; it has no other sign of it. A test holds them.
const PASSWORD_MISSING: &str = "password missing";

/// Why a client has no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server refused the session or closed the connection.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection, or none with the required TLS settings.
    #[error(transparent)]
    Socket(SocketError),
    /// The server asks for a password, and [`Server::password`] is `None`.
    #[error("the server asks for a password, and none is given")]
    NoPassword,
}

impl From<WireError> for ConnectError {
    fn from(error: WireError) -> Self {
        Self::Socket(error.into())
    }
}

impl From<&tokio_postgres::Error> for WireError {
    fn from(refusal: &tokio_postgres::Error) -> Self {
        match refusal.as_db_error() {
            Some(answer) => ServerMessage::from(answer).into(),
            None => Self::Io(error::innermost(refusal).to_string()),
        }
    }
}

impl From<ConnectError> for WireError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Postgres(error) => Self::from(&error),
            ConnectError::Socket(error) => error.0,
            ConnectError::NoPassword => Self::NoPassword,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SocketError(#[from] WireError);

impl SocketError {
    /// Whether encryption could not be set up as configured. The error of rustls, if there is one, is among the sources.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.0, WireError::Tls(..))
    }
}

/// See [`over_modes`].
impl Refusal for ConnectError {
    fn may_be_of_encryption(&self) -> bool {
        match self {
            Self::Postgres(error) => error.code().is_some_and(|code| code.code() == NOT_IN_HBA),
            Self::Socket(error) => error.0.may_be_of_encryption(),
            Self::NoPassword => false,
        }
    }

    fn is_of_who_we_are(&self) -> bool {
        match self {
            // Without a code it is the client's own, about the authentication that the server asks for, or about the socket.
            Self::Postgres(error) => match error.code() {
                Some(code) => code.code() != NOT_IN_HBA,
                None => !is_of_socket(error),
            },
            Self::Socket(error) => error.0.is_of_who_we_are(),
            Self::NoPassword => true,
        }
    }
}

/// Whether an error without a code is the operating system's.
fn is_of_socket(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error::innermost(error).is::<io::Error>()
}

impl Server {
    /// Opens a session of tokio-postgres. User, password, database, encryption and timeouts are this server's; other settings,
    /// as `application_name` and `options`, are those of `config`. The returned future drives the connection and ends with it.
    ///
    /// # Errors
    /// When the server does not answer, TLS cannot be set up as configured, or the server refuses.
    pub async fn client(
        &self,
        config: &Config,
    ) -> Result<
        (
            Client,
            impl Future<Output = Result<(), tokio_postgres::Error>> + Send + use<>,
        ),
        ConnectError,
    > {
        over_modes(self, |server| connect(server, config)).await
    }
}

async fn connect(server: Server, config: &Config) -> Result<(Client, Driver), ConnectError> {
    let socket = Socket::connect(&server).await?;
    let mut config = config.clone();
    config.user(&server.user).dbname(&server.database);
    config.channel_binding(match server.tls.channel_binding {
        ChannelBinding::Disable => ClientBinding::Disable,
        ChannelBinding::Prefer => ClientBinding::Prefer,
        ChannelBinding::Require => ClientBinding::Require,
    });
    if let Some(password) = &server.password {
        config.password(password.expose_secret());
    }
    // The socket is encrypted already; the client then asks it for the channel binding and nothing else.
    let connected = if socket.is_encrypted() {
        config.ssl_mode(SslMode::Require);
        config.ssl_negotiation(SslNegotiation::Direct);
        let connected = config.connect_raw(socket, EncryptedAlready).await;
        connected.map(|(client, connection)| (client, Driver::Encrypted(Box::new(connection))))
    } else {
        config.ssl_mode(SslMode::Disable);
        let connected = config.connect_raw(socket, NoTls).await;
        connected.map(|(client, connection)| (client, Driver::Plain(Box::new(connection))))
    };
    connected.map_err(|error| {
        if server.password.is_none() && error::innermost(&error).to_string() == PASSWORD_MISSING {
            return ConnectError::NoPassword;
        }
        ConnectError::Postgres(error)
    })
}

/// Drives a connection.
enum Driver {
    Plain(Box<Connection<Socket, tokio_postgres::tls::NoTlsStream>>),
    Encrypted(Box<Connection<Socket, EncryptedSocket>>),
}

impl Future for Driver {
    type Output = Result<(), tokio_postgres::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll(cx),
            Self::Encrypted(connection) => Pin::new(connection).poll(cx),
        }
    }
}

/// Takes a socket for the TLS session that it is.
struct EncryptedAlready;

impl TlsConnect<Socket> for EncryptedAlready {
    type Stream = EncryptedSocket;
    type Error = Infallible;
    type Future = Ready<Result<EncryptedSocket, Infallible>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(EncryptedSocket(socket)))
    }
}

struct EncryptedSocket(Socket);

impl TlsStream for EncryptedSocket {
    fn channel_binding(&self) -> EndPoint {
        match self.0.endpoint_hash() {
            Some(hash) => EndPoint::tls_server_end_point(hash),
            None => EndPoint::none(),
        }
    }
}

impl AsyncRead for EncryptedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for EncryptedSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::TlsConfig;
    use crate::wire::ReplicationSession;

    /// A server that answers every greeting by asking for this kind of authentication.
    async fn asking_for(kind: i32) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let length = socket.read_u32().await.unwrap();
                let mut greeting = vec![0; usize::try_from(length).unwrap() - 4];
                socket.read_exact(&mut greeting).await.unwrap();
                let request = [&b"R"[..], &8_i32.to_be_bytes(), &kind.to_be_bytes()].concat();
                socket.write_all(&request).await.unwrap();
                // Until the client hangs up.
                let _ = socket.read_u8().await;
            }
        });
        let mut server = Server::new("127.0.0.1", port, "me", String::new(), "d");
        server.tls = TlsConfig::disabled();
        server.password = None;
        server
    }

    #[tokio::test]
    async fn a_password_is_missing_only_where_one_is_asked_for() {
        let server = asking_for(3).await;
        let refused = server.client(&Config::new()).await.map(drop).unwrap_err();
        assert!(matches!(refused, ConnectError::NoPassword), "{refused}");
        let refused = ReplicationSession::open(&server)
            .await
            .map(drop)
            .unwrap_err();
        assert!(matches!(refused, WireError::NoPassword), "{refused}");
        // GSSAPI, as a line of pg_hba.conf with "gss" wants it.
        let server = asking_for(7).await;
        let refused = server.client(&Config::new()).await.map(drop).unwrap_err();
        assert!(matches!(refused, ConnectError::Postgres(_)), "{refused}");
        let refused = ReplicationSession::open(&server)
            .await
            .map(drop)
            .unwrap_err();
        assert!(refused.to_string().contains("GSSAPI"), "{refused}");
    }
}
