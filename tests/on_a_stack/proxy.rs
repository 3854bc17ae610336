//! A TCP proxy that cuts connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A proxy for a server.
pub struct Proxy {
    pub port: u16,
    cuts: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

impl Proxy {
    /// `after` gives the number of bytes from the server after which a connection is cut; its argument is the number of connections
    /// so far. With `None` the connection is not cut.
    pub fn before(server: String, after: impl Fn(u64) -> Option<u64> + Send + 'static) -> Self {
        Self::that_passes(server, move |number, _| after(number))
    }

    /// A proxy that cuts every connection but the first, until so many were cut: some end before, by themselves.
    pub fn that_cuts(
        server: String,
        cuts: u64,
        after: impl Fn(u64) -> u64 + Send + 'static,
    ) -> Self {
        Self::that_passes(server, move |number, so_far| {
            (number > 0 && so_far < cuts).then(|| after(number))
        })
    }

    /// The same by the number of connections so far, and of those that were cut.
    fn that_passes(
        server: String,
        after: impl Fn(u64, u64) -> Option<u64> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicU64::new(0));
        let connections = Arc::new(AtomicU64::new(0));
        let (counted, accepted) = (Arc::clone(&cuts), Arc::clone(&connections));
        // It runs until the process ends.
        std::thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming().flatten()) {
                accepted.fetch_add(1, Ordering::Relaxed);
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                let (to_server, from_client) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass(from_client, to_server, u64::MAX));
                let limit = after(number, counted.load(Ordering::Relaxed));
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || {
                    if pass(server, client, limit.unwrap_or(u64::MAX)) {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self {
            port,
            cuts,
            connections,
        }
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections cut so far.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Passes bytes on; true if it stopped at the limit.
fn pass(mut from: TcpStream, mut to: TcpStream, limit: u64) -> bool {
    let mut buffer = [0; 16_384];
    let mut left = limit;
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        match from.read(&mut buffer[..most]) {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).is_ok() => {
                left -= u64::try_from(count).unwrap();
            }
            _ => break,
        }
    }
    // Either side may be closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    left == 0
}
