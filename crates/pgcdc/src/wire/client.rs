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
#[error("{0}")]
pub struct SocketError(#[from] WireError);

/// See [`over_modes`].
impl Refusal for ConnectError {
    fn may_be_of_encryption(&self) -> bool {
        match self {
            Self::Postgres(error) => error.code().is_some_and(|code| code.code() == NOT_IN_HBA),
            Self::Socket(error) => error.0.may_be_of_encryption(),
            Self::NoPassword => false,
        }
    }
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
        if server.password.is_none() && error::innermost(&error).to_string() == "password missing" {
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
