//! The stream of a replication session.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::{self, Channel, WaitedSocket};
use super::frames::FrameBuffer;
use super::pace::Pace;
use super::status::StreamStatus;
use super::{ServerMessage, Socket, WireError};
use crate::Lsn;

/// Longest wait for the server to confirm the end of the stream.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// `CopyDone`, and `Terminate`.
const COPY_DONE: [u8; 5] = [b'c', 0, 0, 0, 4];
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// Settings of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamSettings {
    /// The position that the first report acknowledges.
    pub(crate) acknowledged: Lsn,
    /// Interval of the reports.
    pub(crate) status_interval: Duration,
    /// A server that sends nothing for this long, asked or not, is gone.
    pub(crate) silence_limit: Duration,
    /// Largest accepted message, bytes.
    pub(crate) max_message: usize,
}

/// A logical replication stream.
#[derive(Debug)]
pub(crate) struct ReplicationStream {
    socket: WaitedSocket,
    channel: Arc<Channel>,
    status: Arc<StreamStatus>,
    frames: FrameBuffer,
    pace: Pace,
    /// Whether the last read has left nothing in the socket.
    is_drained: bool,
    /// Bytes that were read since [`ReplicationStream::take_received`].
    received: u64,
    /// The latest end of the WAL that the server has told of.
    wal_end: Lsn,
    silence_limit: Duration,
    /// Since when nothing came, though we were listening.
    silent_since: Instant,
    has_asked: bool,
}

/// A message of the stream, borrowed from the bytes that were read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StreamMessage<'a> {
    /// A part of the WAL as the output plugin writes it.
    Wal {
        /// Its position.
        lsn: Lsn,
        /// A message of the output plugin.
        data: &'a [u8],
    },
    /// The server has sent everything up to this position.
    KeepAlive {
        /// The position.
        wal_end: Lsn,
    },
}

impl ReplicationStream {
    pub(super) fn new(socket: Socket, settings: StreamSettings) -> Result<Self, WireError> {
        let (socket, channel) = channel::split(socket)?;
        let channel = Arc::new(channel);
        let now = Instant::now();
        let status = StreamStatus::new(
            Arc::clone(&channel),
            settings.acknowledged,
            settings.status_interval,
        );
        Ok(Self {
            socket,
            channel,
            status: Arc::new(status),
            frames: FrameBuffer::new(settings.max_message),
            pace: Pace::new(now),
            is_drained: false,
            received: 0,
            wal_end: Lsn::default(),
            silence_limit: settings.silence_limit,
            silent_since: now,
            has_asked: false,
        })
    }

    /// The reports of this stream.
    pub(crate) fn status(&self) -> &Arc<StreamStatus> {
        &self.status
    }

    /// The next message of those that were read; `None` when there is none any more: see [`ReplicationStream::fill`].
    ///
    /// # Errors
    /// When the server ends the stream, or breaks the protocol.
    pub(crate) fn next(&mut self) -> Result<Option<StreamMessage<'_>>, WireError> {
        while let Some(tag) = self.frames.take()? {
            match tag {
                b'd' => {
                    // Of both kinds of messages; one that is cut off is an error below.
                    if let Some(end) = wal_end(self.frames.content()) {
                        self.wal_end = end;
                    }
                    return self.copy_data().map(Some);
                }
                b'E' => return Err(ServerMessage::parse(self.frames.content()).into()),
                b'c' => {
                    return Err(WireError::Io("the server ended the stream".to_owned()));
                }
                // Notices, settings.
                _ => {}
            }
        }
        Ok(None)
    }

    fn copy_data(&self) -> Result<StreamMessage<'_>, WireError> {
        let content = self.frames.content();
        if content.first() != Some(&b'k') {
            return wal(content);
        }
        let (wal_end, reply) = keep_alive(content)?;
        if reply {
            self.status.send(false)?;
        }
        Ok(StreamMessage::KeepAlive { wal_end })
    }

    /// Reads more. It may be dropped at any time, and nothing is lost.
    ///
    /// # Errors
    /// When the connection is broken, or the server silent for too long.
    pub(crate) async fn fill(&mut self) -> Result<(), WireError> {
        if let Some(pause) = self.pace.pause() {
            if self.is_drained {
                // The thread has nothing else to do. A timer of the runtime would be ten times as long.
                std::thread::sleep(pause);
            }
            // Other tasks of the runtime have their turn, too.
            tokio::task::coop::consume_budget().await;
            let read = self.channel.read(self.frames.room()?);
            if self.has_read(read)? {
                return Ok(());
            }
        }
        loop {
            let limit = if self.has_asked {
                self.silence_limit
            } else {
                self.silence_limit / 2
            };
            let ready = self.socket.readable();
            let Ok(ready) = tokio::time::timeout_at(self.silent_since + limit, ready).await else {
                if self.has_asked {
                    return Err(WireError::Silent(self.silence_limit));
                }
                self.has_asked = true;
                self.status.send(true)?;
                continue;
            };
            let room = self.frames.room()?;
            ready?;
            let read = self.socket.try_read(|| self.channel.read(room));
            if self.has_read(read)? {
                return Ok(());
            }
        }
    }

    /// Takes note of a read. False when there was nothing to read yet.
    fn has_read(&mut self, read: io::Result<usize>) -> Result<bool, WireError> {
        match read {
            Ok(0) => Err(WireError::closed()),
            Ok(count) => {
                self.is_drained = !self.frames.filled(count);
                self.received += u64::try_from(count).unwrap_or(0);
                self.is_heard();
                self.pace.has_read(count, self.silent_since);
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(false),
                _ => Err(error.into()),
            },
        }
    }

    /// Bytes read since the last call, and the latest end of the WAL that the server has told of.
    pub(crate) fn take_received(&mut self) -> (u64, Lsn) {
        (std::mem::take(&mut self.received), self.wal_end)
    }

    /// The server was heard, or could not be because nobody listened.
    pub(crate) fn is_heard(&mut self) {
        self.silent_since = Instant::now();
        self.has_asked = false;
    }

    /// Reports the last position and ends the stream. The server has taken note of it when this returns true.
    pub(crate) async fn close(mut self) -> bool {
        let farewell = || {
            self.status.send(false)?;
            self.channel
                .send(&COPY_DONE)
                .and_then(|()| self.channel.send(&TERMINATE))
                .map_err(WireError::from)
        };
        if let Err(error) = farewell() {
            tracing::debug!(%error, "the stream was broken when it was closed");
            return false;
        }
        // The server reads what we sent in its order, and ends the stream after it: what it sent before is passed over.
        let ended = async {
            loop {
                match self.frames.take() {
                    Ok(Some(b'c' | b'E')) => return true,
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        self.is_heard();
                        if let Err(error) = self.fill().await {
                            tracing::debug!(%error, "the stream ended");
                            return false;
                        }
                    }
                    Err(_) => return false,
                }
            }
        };
        tokio::time::timeout(CLOSE_LIMIT, ended)
            .await
            .unwrap_or(false)
    }
}

fn malformed() -> WireError {
    WireError::Protocol("a message of the stream is malformed".to_owned())
}

/// The end of the WAL, which every message has.
fn wal_end(content: &[u8]) -> Option<Lsn> {
    let at = match content.first()? {
        b'w' => 9,
        b'k' => 1,
        _ => return None,
    };
    let end = content.get(at..)?.first_chunk()?;
    Some(Lsn(u64::from_be_bytes(*end)))
}

/// `w`, start and end of the data in the WAL, time, data.
fn wal(content: &[u8]) -> Result<StreamMessage<'_>, WireError> {
    let (header, data) = content.split_first_chunk::<25>().ok_or_else(malformed)?;
    match header.split_first_chunk::<9>() {
        Some(([b'w', lsn @ ..], _)) => Ok(StreamMessage::Wal {
            lsn: Lsn(u64::from_be_bytes(*lsn)),
            data,
        }),
        _ => Err(malformed()),
    }
}

/// `k`, end of the WAL, time, whether a reply is wanted.
fn keep_alive(content: &[u8]) -> Result<(Lsn, bool), WireError> {
    match content.split_first_chunk::<9>() {
        Some(([b'k', wal_end @ ..], [_, _, _, _, _, _, _, _, reply])) => {
            Ok((Lsn(u64::from_be_bytes(*wal_end)), *reply == 1))
        }
        _ => Err(malformed()),
    }
}
