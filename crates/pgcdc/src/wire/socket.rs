//! The socket to a server: TCP or Unix, encrypted if configured.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::error::WireError;
use super::tls::{self, Upgraded};
use crate::Server;

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A connection without traffic is probed by the operating system after this time, so that a host that is gone is noticed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// After so many probes without an answer the connection is broken.
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes that the other side does not confirm for this long break the connection.
const UNCONFIRMED_LIMIT: Duration = Duration::from_secs(60);

/// A socket to a server.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Connects, and encrypts the connection as [`Server::tls`] says.
    pub(crate) async fn connect(server: &Server) -> Result<Self, WireError> {
        if server.host.starts_with('/') {
            let path = unix_path(server);
            let socket = UnixStream::connect(&path)
                .await
                .map_err(|error| WireError::Io(format!("{}: {error}", path.display())))?;
            return Ok(Self::Unix(socket));
        }
        let address = (server.host.as_str(), server.port);
        let socket = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address))
            .await
            .map_err(|_| WireError::Silent(CONNECT_LIMIT))??;
        // The server sends each row at once: Nagle's algorithm would only delay our own messages.
        socket.set_nodelay(true)?;
        notice_lost_hosts(&socket)?;
        Ok(
            match tls::upgrade(socket, &server.tls, &server.host).await? {
                Upgraded::Plain(socket) => Self::Tcp(socket),
                Upgraded::Encrypted(socket) => Self::Tls(socket),
            },
        )
    }
}

impl Server {
    /// Opens a connection to the server, encrypted as [`Server::tls`] says, before any message of PostgreSQL's protocol:
    /// for a client such as tokio-postgres, so that it connects in the same way as the reader does.
    ///
    /// # Errors
    /// When the server does not answer, or TLS cannot be set up as configured.
    pub async fn socket(&self) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        Socket::connect(self).await.map_err(io::Error::other)
    }
}

fn unix_path(server: &Server) -> PathBuf {
    Path::new(&server.host).join(format!(".s.PGSQL.{}", server.port))
}

/// Lets the operating system probe the connection, and give it up when nothing is confirmed.
fn notice_lost_hosts(socket: &impl AsFd) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(socket, true)?;
    #[cfg(not(target_os = "macos"))]
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(
        socket,
        u32::try_from(UNCONFIRMED_LIMIT.as_millis()).unwrap_or(u32::MAX),
    )?;
    Ok(())
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(socket) => Pin::new(socket).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
