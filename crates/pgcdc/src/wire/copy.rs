//! A session that copies tables: queries, and the data of `COPY ... TO STDOUT`, borrowed from the bytes that were read.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pgwire_replication::protocol::framing::write_query;
use tokio::io::{AsyncRead, ReadBuf};

use super::encryption::over_modes;
use super::frames::FrameBuffer;
use super::query::{self, QUERY_LIMIT, TextRows, within};
use super::startup::{self, COPY};
use super::{ServerMessage, Socket, WireError};
use crate::Server;

/// A session that copies tables.
#[derive(Debug)]
pub(crate) struct CopySession {
    socket: Socket,
    frames: FrameBuffer,
    /// The data messages that were read last.
    rows: Vec<Range<usize>>,
    /// Whether a statement has begun whose end was not read.
    is_copying: bool,
}

impl CopySession {
    /// Connects and authenticates. A message of more than `max_message` bytes, which is a row, will be an error.
    pub(crate) async fn open(server: &Server, max_message: usize) -> Result<Self, WireError> {
        let opening = |server: Server| async move {
            let mut socket = Socket::connect(&server).await?;
            startup::start(&mut socket, &server, &COPY).await?;
            Ok(Self {
                socket,
                frames: FrameBuffer::new(max_message),
                rows: Vec::new(),
                is_copying: false,
            })
        };
        over_modes(server, opening).await
    }

    /// Runs a query between two copies.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<TextRows, WireError> {
        within(QUERY_LIMIT, query::run(&mut self.socket, sql)).await
    }

    /// Begins a `COPY ... TO STDOUT`.
    pub(crate) async fn begin(&mut self, statement: &str) -> Result<(), WireError> {
        write_query(&mut self.socket, statement).await?;
        self.rows.clear();
        self.is_copying = true;
        Ok(())
    }

    /// Whether a statement has begun whose end was not read.
    pub(crate) fn is_copying(&self) -> bool {
        self.is_copying
    }

    /// Reads until there are data messages, or the statement is complete: then [`CopySession::is_copying`] is false.
    ///
    /// # Errors
    /// When the connection is broken, or the server refuses.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        self.rows.clear();
        loop {
            let mut room = ReadBuf::new(self.frames.room()?);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))?;
            let count = room.filled().len();
            if count == 0 {
                return Poll::Ready(Err(WireError::closed()));
            }
            self.frames.filled(count);
            self.take()?;
            if !self.rows.is_empty() || !self.is_copying {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn take(&mut self) -> Result<(), WireError> {
        while let Some(tag) = self.frames.take()? {
            match tag {
                b'd' => self.rows.push(self.frames.content_range()),
                b'E' => return Err(ServerMessage::parse(self.frames.content()).into()),
                b'Z' => self.is_copying = false,
                // The beginning and the end of the data, notices, settings.
                _ => {}
            }
        }
        Ok(())
    }

    /// The data messages that were read last. The server sends one for each row.
    pub(crate) fn data(&self) -> impl Iterator<Item = &[u8]> {
        self.rows.iter().map(|row| self.frames.get(row.clone()))
    }
}
