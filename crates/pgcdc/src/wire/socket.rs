//! The socket to a server: TCP or Unix, encrypted if configured.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::endpoint_hash::endpoint_hash;
use super::error::WireError;
use super::tls::{self, Upgraded};
use crate::{NetworkSettings, Server};

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
        if let Some(path) = server.socket_path() {
            let socket = UnixStream::connect(&path)
                .await
                .map_err(|error| WireError::Io(format!("{}: {error}", server.address())))?;
            return Ok(Self::Unix(socket));
        }
        let socket = match server.hostaddr {
            Some(address) => TcpStream::connect((address, server.port)).await?,
            None => TcpStream::connect((server.host.as_str(), server.port)).await?,
        };
        // The server sends each row at once: Nagle's algorithm would only delay our own messages.
        socket.set_nodelay(true)?;
        notice_lost_hosts(&socket, &server.network)?;
        Ok(match tls::upgrade(socket, server).await? {
            Upgraded::Plain(socket) => Self::Tcp(socket),
            Upgraded::Encrypted(socket) => Self::Tls(socket),
        })
    }

    /// Whether TLS is in use.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The hash of the server's certificate that SCRAM is bound to (`tls-server-end-point`, RFC 5929); `None` without TLS, and
    /// for a certificate whose signature has no single hash.
    pub(crate) fn endpoint_hash(&self) -> Option<Vec<u8>> {
        let Self::Tls(stream) = self else {
            return None;
        };
        let certificate = stream.get_ref().1.peer_certificates()?.first()?;
        endpoint_hash(certificate)
    }
}

impl Server {
    /// Opens a connection to the server, encrypted as [`Server::tls`] says, before any message of PostgreSQL's protocol:
    /// for a client such as tokio-postgres, so that it connects in the same way as the reader does.
    ///
    /// # Errors
    /// When the server does not answer, or TLS cannot be set up as configured.
    pub async fn socket(&self) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let socket = self.network.in_time(Socket::connect(self)).await;
        socket.map_err(io::Error::other)
    }
}

/// Lets the operating system probe the connection, and give it up when nothing is confirmed.
fn notice_lost_hosts(socket: &impl AsFd, settings: &NetworkSettings) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(socket, settings.keepalives.is_some())?;
    if let Some(keepalives) = &settings.keepalives {
        #[cfg(not(target_os = "macos"))]
        if let Some(idle) = keepalives.idle {
            sockopt::set_tcp_keepidle(socket, idle)?;
        }
        if let Some(interval) = keepalives.interval {
            sockopt::set_tcp_keepintvl(socket, interval)?;
        }
        if let Some(count) = keepalives.count {
            sockopt::set_tcp_keepcnt(socket, count)?;
        }
    }
    #[cfg(target_os = "linux")]
    if let Some(limit) = settings.user_timeout {
        let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(socket, limit)?;
    }
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
