//! A proxy that cuts connections, by the program's own link.

use cdc_bench_stack::Link;

/// A proxy for a server.
pub struct Proxy {
    pub port: u16,
    link: Link,
}

impl Proxy {
    /// `after` gives the number of bytes from the server after which a connection is cut; its argument is the number of connections
    /// so far. With `None` the connection is not cut.
    pub fn before(server: String, after: impl Fn(u64) -> Option<u64> + Send + 'static) -> Self {
        Self::over(&server, move |number, _| after(number))
    }

    /// A proxy that cuts every connection but the first, until so many were cut: some end before, by themselves.
    pub fn that_cuts(
        server: String,
        cuts: u64,
        after: impl Fn(u64) -> u64 + Send + 'static,
    ) -> Self {
        Self::over(&server, move |number, so_far| {
            (number > 0 && so_far < cuts).then(|| after(number))
        })
    }

    fn over(server: &str, after: impl Fn(u64, u64) -> Option<u64> + Send + 'static) -> Self {
        let link = Link::with_cuts(server, after).unwrap();
        Self {
            port: link.port(),
            link,
        }
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.link.connections()
    }

    /// Connections cut so far.
    pub fn cuts(&self) -> u64 {
        self.link.cuts()
    }
}
