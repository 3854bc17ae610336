//! How long a connection may take, and how a peer that is gone is noticed.

use std::time::Duration;

/// Timeouts of connections, in libpq's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Longest wait for the connection and for TLS (`connect_timeout`); `None`: no limit.
    pub connect_timeout: Option<Duration>,
    /// Probes of a connection without traffic (`keepalives`); `None`: none are sent.
    pub keepalives: Option<Keepalives>,
    /// How long sent bytes may stay unconfirmed before the connection is broken (`tcp_user_timeout`, Linux); `None`: as the
    /// operating system has it.
    pub user_timeout: Option<Duration>,
}

/// Probes of a connection without traffic. What is `None` is as the operating system has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalives {
    /// Time without traffic before the first probe.
    pub idle: Option<Duration>,
    /// Time between two probes.
    pub interval: Option<Duration>,
    /// Probes without an answer that break the connection.
    pub count: Option<u32>,
}

impl Default for Keepalives {
    fn default() -> Self {
        Self {
            idle: Some(Duration::from_secs(30)),
            interval: Some(Duration::from_secs(10)),
            count: Some(3),
        }
    }
}

impl Default for NetworkSettings {
    /// A host that is gone is noticed within a minute.
    fn default() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(10)),
            keepalives: Some(Keepalives::default()),
            user_timeout: Some(Duration::from_secs(60)),
        }
    }
}
