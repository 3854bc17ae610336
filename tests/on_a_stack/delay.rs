//! A TCP proxy that delays traffic: one link of the pipeline becomes slow, and no other.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Which connections are delayed.
#[derive(Clone, Copy)]
pub enum Which {
    All,
    /// PostgreSQL's, of clients with this application name.
    Application(&'static str),
    /// Kafka's, once they have carried a request of this kind. The proxy replaces the addresses in Kafka's responses by its own.
    Request(i16),
}

pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;

/// The direction that is delayed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    FromServer,
    ToServer,
}

/// The delay, with a variation.
#[derive(Clone, Copy)]
pub struct Delay {
    pub by: Duration,
    pub jitter: Duration,
}

/// The proxy. It runs until the process ends.
pub struct SlowLink {
    pub port: u16,
    stall: Arc<Mutex<Option<Instant>>>,
}

/// State of one connection.
#[derive(Clone)]
struct Connection {
    which: Which,
    is_slow: Arc<AtomicBool>,
    server_port: u16,
    own_port: u16,
}

impl SlowLink {
    /// A proxy for a server on this host.
    pub fn before(server_port: u16, which: Which, way: Way, delay: Delay) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stall = Arc::new(Mutex::new(None));
        let link_stall = Arc::clone(&stall);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else {
                    continue;
                };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let connection = Connection {
                    which,
                    is_slow: Arc::new(AtomicBool::new(matches!(which, Which::All))),
                    server_port,
                    own_port: port,
                };
                for (from, to, direction) in [
                    (
                        client.try_clone().unwrap(),
                        server.try_clone().unwrap(),
                        Way::ToServer,
                    ),
                    (server, client, Way::FromServer),
                ] {
                    let (sender, line) = sync_channel(4_096);
                    let delay = (direction == way).then_some(delay);
                    let stall = Arc::clone(&link_stall);
                    let connection = connection.clone();
                    std::thread::spawn(move || take(from, &sender, direction, &connection, delay));
                    std::thread::spawn(move || hand_on(&line, to, delay.map(|_| stall)));
                }
            }
        });
        Self { port, stall }
    }

    /// Blocks the delayed direction for this long from now.
    pub fn stall(&self, span: Duration) {
        *self.stall.lock().unwrap() = Some(Instant::now() + span);
    }
}

/// When bytes are due, and the bytes.
type Due = (Instant, Vec<u8>);

/// Reads from one side, and schedules what it read for the other.
fn take(
    mut from: TcpStream,
    line: &SyncSender<Due>,
    direction: Way,
    connection: &Connection,
    delay: Option<Delay>,
) {
    let mut last = Instant::now();
    let mut is_first = true;
    while let Some(bytes) = read(&mut from, direction, connection) {
        if direction == Way::ToServer {
            connection.look(&bytes, is_first);
            is_first = false;
        }
        let slow = delay.filter(|_| connection.is_slow.load(Ordering::Relaxed));
        let due = Instant::now() + slow.map_or(Duration::ZERO, Delay::draw);
        // Order is kept.
        last = last.max(due);
        if line.send((last, bytes)).is_err() {
            break;
        }
    }
    // The other side may be closed already.
    let _ = from.shutdown(Shutdown::Read);
}

fn hand_on(line: &Receiver<Due>, mut to: TcpStream, stall: Option<Arc<Mutex<Option<Instant>>>>) {
    while let Ok((due, bytes)) = line.recv() {
        sleep_until(due);
        if let Some(until) = stall.as_ref().and_then(|stall| *stall.lock().unwrap()) {
            sleep_until(until);
        }
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn sleep_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(Instant::now()));
}

/// Reads what is available; of Kafka's protocol, one complete message.
fn read(from: &mut TcpStream, direction: Way, connection: &Connection) -> Option<Vec<u8>> {
    if !matches!(connection.which, Which::Request(_)) {
        let mut buffer = vec![0; 65_536];
        let count = from.read(&mut buffer).ok().filter(|count| *count > 0)?;
        buffer.truncate(count);
        return Some(buffer);
    }
    let mut message = vec![0; 4];
    from.read_exact(&mut message).ok()?;
    let length = u32::from_be_bytes(message[..].try_into().unwrap());
    message.resize(4 + usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut message[4..]).ok()?;
    if direction == Way::FromServer {
        connection.patch(&mut message);
    }
    Some(message)
}

impl Connection {
    /// Decides from these bytes whether the connection is to be delayed.
    fn look(&self, bytes: &[u8], is_first: bool) {
        let is_meant = match self.which {
            Which::All => true,
            Which::Application(name) => {
                let words = format!("application_name\0{name}\0");
                is_first && find(bytes, words.as_bytes()).is_some()
            }
            Which::Request(kind) => bytes[4..6] == kind.to_be_bytes(),
        };
        if is_meant {
            self.is_slow.store(true, Ordering::Relaxed);
        }
    }

    /// Replaces the broker's port by the proxy's where the broker reports its address.
    fn patch(&self, message: &mut [u8]) {
        let address = |port: u16| [&b"127.0.0.1"[..], &u32::from(port).to_be_bytes()].concat();
        let (theirs, ours) = (address(self.server_port), address(self.own_port));
        while let Some(at) = find(message, &theirs) {
            message[at..at + ours.len()].copy_from_slice(&ours);
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

impl Delay {
    pub const NONE: Self = Self {
        by: Duration::ZERO,
        jitter: Duration::ZERO,
    };

    pub fn of(by: Duration) -> Self {
        Self {
            by,
            jitter: by / 10,
        }
    }

    /// Uniform around the delay, by a multiplicative sequence: the same in every run.
    fn draw(self) -> Duration {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let step = DRAWN.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) >> 32;
        let spread = self.jitter * 2 * u32::try_from(step >> 12).unwrap() / (1 << 20);
        self.by - self.jitter + spread
    }
}
