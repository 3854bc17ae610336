//! The socket of a stream, on which two threads write: the reader's, and the one that reports positions while the handler is
//! at work.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use rustls::ClientConnection;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::Socket;

/// Most bytes that wait to be sent: a status update takes 39.
const MOST_WAITING: usize = 1 << 16;

/// The reader's side of the socket, which is waited on.
#[derive(Debug)]
pub(super) enum WaitedSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl WaitedSocket {
    /// Waits until there is something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    /// Reads, and notes when there was nothing to read.
    pub(super) fn try_read(&self, read: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_io(Interest::READABLE, read),
            Self::Unix(socket) => socket.try_io(Interest::READABLE, read),
        }
    }
}

/// The same socket, which does not block, below any encryption.
#[derive(Debug)]
enum PlainSocket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl PlainSocket {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&mut &*socket).read(buffer),
            Self::Unix(socket) => (&mut &*socket).read(buffer),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&mut &*socket).write(bytes),
            Self::Unix(socket) => (&mut &*socket).write(bytes),
        }
    }
}

/// The side of the socket that threads share.
#[derive(Debug)]
pub(super) struct Channel {
    socket: PlainSocket,
    state: Mutex<ChannelState>,
}

#[derive(Debug)]
struct ChannelState {
    tls: Option<ClientConnection>,
    /// Bytes that the socket has not taken yet.
    waiting: Vec<u8>,
}

/// Splits a socket into the reader's side, which is waited on, and the shared one.
pub(super) fn split(socket: Socket) -> io::Result<(WaitedSocket, Channel)> {
    let (socket, tls) = match socket {
        Socket::Tcp(socket) => (WaitedSocket::Tcp(socket), None),
        Socket::Unix(socket) => (WaitedSocket::Unix(socket), None),
        Socket::Tls(socket) => {
            let (socket, tls) = socket.into_inner();
            (WaitedSocket::Tcp(socket), Some(tls))
        }
    };
    let shared = match &socket {
        WaitedSocket::Tcp(socket) => PlainSocket::Tcp(socket.as_fd().try_clone_to_owned()?.into()),
        WaitedSocket::Unix(socket) => {
            PlainSocket::Unix(socket.as_fd().try_clone_to_owned()?.into())
        }
    };
    let state = Mutex::new(ChannelState {
        tls,
        waiting: Vec::new(),
    });
    let channel = Channel {
        socket: shared,
        state,
    };
    Ok((socket, channel))
}

impl Channel {
    /// Reads decrypted bytes; zero at the end of the connection, an error of kind `WouldBlock` when none are there yet.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.waiting.is_empty() {
            self.flush(&mut state)?;
        }
        loop {
            let Some(tls) = &mut state.tls else {
                drop(state);
                return self.socket.read(buffer);
            };
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if tls.read_tls(&mut Below(&self.socket))? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            if tls.wants_write() {
                // An answer of the encryption's own.
                self.flush(&mut state)?;
            }
        }
    }

    /// Sends bytes, or keeps them until the socket takes them. Never waits.
    ///
    /// # Errors
    /// When the connection is broken, or takes nothing any more.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.len() > MOST_WAITING {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match &mut state.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => state.waiting.extend_from_slice(bytes),
        }
        self.flush(&mut state)
    }

    fn flush(&self, state: &mut ChannelState) -> io::Result<()> {
        let ChannelState { tls, waiting } = state;
        if let Some(tls) = tls {
            while tls.wants_write() {
                tls.write_tls(waiting)?;
            }
        }
        while !waiting.is_empty() {
            match self.socket.write(waiting) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => drop(waiting.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The socket as what rustls reads from.
struct Below<'a>(&'a PlainSocket);

impl Read for Below<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
