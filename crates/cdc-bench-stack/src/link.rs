//! A link between a client and a server that can be made worse while it is in use: a TCP proxy that cuts, resets, delays and
//! throttles.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::StackError;

/// Most bytes that are read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks that may wait in a direction of a connection until they are due.
const WAITING: usize = 64;

/// What a link does with what passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkState {
    /// It passes everything at once.
    #[default]
    Sound,
    /// Its connections are closed, and each new one at once.
    Cut,
    /// Everything arrives so much later.
    Delayed(Duration),
    /// So many bytes a second pass in each direction of each connection.
    Throttled(u64),
}

/// Number of bytes from the server after which a connection is cut, by the number of connections before it, and of those of them that
/// were cut.
type CutRule = Box<dyn Fn(u64, u64) -> Option<u64> + Send>;

/// A link to a server: whoever connects to its port reaches the server through it. It is gone when this is dropped.
#[derive(Debug)]
pub struct Link {
    port: u16,
    state: watch::Sender<LinkState>,
    /// Changed to reset all connections.
    resets: watch::Sender<u64>,
    counts: Arc<Counts>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    cuts: AtomicU64,
    broken: AtomicU64,
}

/// What a connection looks at.
#[derive(Clone)]
struct Control {
    state: watch::Receiver<LinkState>,
    resets: watch::Receiver<u64>,
    counts: Arc<Counts>,
}

impl Link {
    /// A sound link to the server at this address, `HOST:PORT`.
    ///
    /// # Errors
    /// When no port is free, or its thread cannot be started.
    pub fn to(server: &str) -> Result<Self, StackError> {
        Self::with_cuts(server, |_, _| None)
    }

    /// The same that cuts connections by a rule: of the number of connections before one, and of those of them that it has cut, it
    /// gives after how many bytes from the server that one is cut.
    ///
    /// # Errors
    /// As [`Link::to`].
    pub fn with_cuts(
        server: &str,
        after: impl Fn(u64, u64) -> Option<u64> + Send + 'static,
    ) -> Result<Self, StackError> {
        let failed = |action| StackError::io(action, format!("a link to {server}"));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.map_err(failed("open"))?;
        let port = listener.local_addr().map_err(failed("open"))?.port();
        listener.set_nonblocking(true).map_err(failed("open"))?;
        let (state, resets) = (watch::Sender::default(), watch::Sender::default());
        let (counts, stop) = (Arc::new(Counts::default()), CancellationToken::new());
        let control = Control {
            state: state.subscribe(),
            resets: resets.subscribe(),
            counts: Arc::clone(&counts),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed("start"))?;
        let (server, stopped) = (server.to_owned(), stop.clone());
        let accept = async move {
            if let Ok(listener) = TcpListener::from_std(listener) {
                accept(&listener, &server, &control, Box::new(after)).await;
            }
        };
        std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = stopped.cancelled() => {}
                        () = accept => {}
                    }
                });
            })
            .map_err(StackError::io("start", "a link"))?;
        Ok(Self {
            port,
            state,
            resets,
            counts,
            _stop: stop.drop_guard(),
        })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes it worse, or sound again.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }

    /// Resets its connections: each end is told that the other is gone (RST).
    pub fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }

    /// Connections that were accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Connections that were broken so far while it was cut, or by a reset; those that were not accepted meanwhile count.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.counts.broken.load(Ordering::Relaxed)
    }

    /// Connections that were cut by the rule so far.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.counts.cuts.load(Ordering::Relaxed)
    }
}

async fn accept(listener: &TcpListener, server: &str, control: &Control, after: CutRule) {
    let mut number = 0;
    loop {
        let Ok((client, _)) = accepted(listener).await else {
            continue;
        };
        let counts = &control.counts;
        counts.connections.fetch_add(1, Ordering::Relaxed);
        let limit = after(number, counts.cuts.load(Ordering::Relaxed));
        number += 1;
        if *control.state.borrow() == LinkState::Cut {
            counts.broken.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let (server, control) = (server.to_owned(), control.clone());
        tokio::spawn(async move { pass(client, &server, control, limit).await });
    }
}

/// Without file descriptors, for instance, there is none for a while.
async fn accepted(listener: &TcpListener) -> std::io::Result<(TcpStream, SocketAddr)> {
    let accepted = listener.accept().await;
    if accepted.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    accepted
}

/// Passes on what one connection carries, until an end closes it or the link does.
async fn pass(client: TcpStream, server: &str, mut control: Control, limit: Option<u64>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    for stream in [&client, &server] {
        // A link that waits for more than it has would be a delay of its own.
        let _ = stream.set_nodelay(true);
    }
    let (state, counts) = (control.state.clone(), Arc::clone(&control.counts));
    control.resets.mark_unchanged();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut ends = Ends {
        to_client,
        to_server,
    };
    let up = relay(from_client, &mut ends.to_server, state.clone(), None);
    let down = relay(from_server, &mut ends.to_client, state, limit);
    let end = tokio::select! {
        _ = up => ConnectionEnd::Closed,
        is_at_limit = down => {
            counts.cuts.fetch_add(u64::from(is_at_limit), Ordering::Relaxed);
            ConnectionEnd::Closed
        }
        cut = control.state.wait_for(|state| *state == LinkState::Cut) => {
            // The link itself may be gone.
            if cut.is_ok() { ConnectionEnd::Cut } else { ConnectionEnd::Closed }
        }
        changed = control.resets.changed() => {
            if changed.is_ok() { ConnectionEnd::Reset } else { ConnectionEnd::Closed }
        }
    };
    if end != ConnectionEnd::Closed {
        counts.broken.fetch_add(1, Ordering::Relaxed);
    }
    if end == ConnectionEnd::Reset {
        ends.reset();
    }
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionEnd {
    /// An end closed it, or the rule.
    Closed,
    /// The link was cut.
    Cut,
    /// The link was reset.
    Reset,
}

/// The writing ends of a connection.
struct Ends {
    to_client: OwnedWriteHalf,
    to_server: OwnedWriteHalf,
}

impl Ends {
    /// What is closed without lingering, and without an end of what was written, is reset.
    fn reset(self) {
        for end in [self.to_client, self.to_server] {
            // An end that is closed already needs no reset.
            let _ = end.as_ref().set_zero_linger();
            end.forget();
        }
    }
}

/// Passes bytes in one direction until it ends; true if that was at the limit.
async fn relay(
    from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    state: watch::Receiver<LinkState>,
    limit: Option<u64>,
) -> bool {
    let (sender, mut due) = mpsc::channel(WAITING);
    let read = read(from, sender, state, limit);
    let write = async {
        while let Some((at, chunk)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    // What was read is still passed on when nothing more comes.
    let (is_at_limit, ()) = tokio::join!(read, write);
    is_at_limit
}

/// Reads, and says when each chunk is due at the other end.
async fn read(
    mut from: OwnedReadHalf,
    due: mpsc::Sender<(Instant, Vec<u8>)>,
    state: watch::Receiver<LinkState>,
    limit: Option<u64>,
) -> bool {
    let mut left = limit.unwrap_or(u64::MAX);
    let mut last = Instant::now();
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        let mut chunk = vec![0; most];
        let count = match from.read(&mut chunk).await {
            Ok(count) if count > 0 => count,
            _ => return false,
        };
        chunk.truncate(count);
        let bytes = u64::try_from(count).unwrap_or(u64::MAX);
        left -= bytes;
        let now = Instant::now();
        let at = match *state.borrow() {
            LinkState::Delayed(by) => now + by,
            // The chunk before it must be through, and this one takes its time.
            LinkState::Throttled(per_s) => {
                let millis = bytes.saturating_mul(1_000) / per_s.max(1);
                now.max(last) + Duration::from_millis(millis)
            }
            LinkState::Sound | LinkState::Cut => now,
        };
        // Order is kept.
        last = last.max(at);
        if due.send((last, chunk)).await.is_err() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener as Listener, TcpStream as Stream};

    use super::*;

    /// A server that sends back what it is sent.
    fn echo() -> String {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut back = client.try_clone().unwrap();
                    std::io::copy(&mut &client, &mut back)
                });
            }
        });
        address
    }

    fn connect(link: &Link) -> Stream {
        let stream = Stream::connect((Ipv4Addr::LOCALHOST, link.port())).unwrap();
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).unwrap();
        stream
    }

    fn asked(stream: &mut Stream, text: &[u8]) -> std::io::Result<Duration> {
        let began = std::time::Instant::now();
        stream.write_all(text)?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, text);
        Ok(began.elapsed())
    }

    #[test]
    fn a_link_is_sound_until_it_is_made_worse_and_sound_again_after_it() {
        let link = Link::to(&echo()).unwrap();
        let mut stream = connect(&link);
        asked(&mut stream, &[7; 200_000]).unwrap();
        link.set(LinkState::Delayed(Duration::from_millis(100)));
        let took = asked(&mut stream, b"slow").unwrap();
        assert!(took >= Duration::from_millis(200), "both ways: {took:?}");
        link.set(LinkState::Throttled(10_000));
        let took = asked(&mut stream, &[7; 4_000]).unwrap();
        assert!(took >= Duration::from_millis(400), "{took:?}");
        link.set(LinkState::Cut);
        assert!(asked(&mut stream, b"cut").is_err());
        assert!(asked(&mut connect(&link), b"cut").is_err());
        link.set(LinkState::Sound);
        let mut stream = connect(&link);
        asked(&mut stream, b"again").unwrap();
        link.reset();
        let reset = loop {
            // The reset takes a moment.
            match asked(&mut stream, b"reset") {
                Ok(_) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => break error,
            }
        };
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        assert!(
            [ConnectionReset, BrokenPipe].contains(&reset.kind()),
            "{reset:?}"
        );
        asked(&mut connect(&link), b"new").unwrap();
        assert_eq!((link.connections(), link.cuts()), (4, 0));
        // One was open and one came while it was cut, one was reset.
        assert_eq!(link.broken(), 3);
    }

    #[test]
    fn a_rule_cuts_a_connection_after_so_many_bytes() {
        let link = Link::with_cuts(&echo(), |number, _| (number == 1).then_some(3)).unwrap();
        asked(&mut connect(&link), b"first").unwrap();
        let mut second = connect(&link);
        second.write_all(b"second").unwrap();
        let mut received = Vec::new();
        // It may end in a reset.
        let _ = second.read_to_end(&mut received);
        assert_eq!(received, b"sec");
        asked(&mut connect(&link), b"third").unwrap();
        assert_eq!(link.cuts(), 1);
    }
}
