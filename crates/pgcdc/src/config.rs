//! What to read, from where, and how far it may be let go.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pgwire_replication::tls::rustls::{MaybeTlsStream, maybe_upgrade_to_tls};
use pgwire_replication::{
    FeedbackObserver, PgWireError, Publication, ReplicationConfig, TlsConfig,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;

use super::checkpoint::Checkpoint;
use super::clock::{SteadyClock, TimeSource};
use super::snapshot::SnapshotConfig;
use super::{Lsn, SlotName};

/// How values are written in the stream, whatever the server's or the role's own settings are.
pub(super) const SESSION: &str = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 -c bytea_output=hex -c lc_monetary=C";

/// The server and who we are there.
#[derive(Debug, Clone)]
pub struct Server {
    /// Host name or address, or the folder of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User; it needs `REPLICATION`.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Database.
    pub database: String,
    /// Whether and how the connection is encrypted. `VerifyCa` refuses certificates for other hosts as `VerifyFull` does:
    /// pgwire-replication 0.5 does not tell the two apart.
    pub tls: TlsConfig,
}

impl Server {
    /// A server without TLS.
    #[must_use]
    pub fn new(
        host: impl Into<String>,
        port: u16,
        user: impl Into<String>,
        password: impl Into<SecretString>,
        database: impl Into<String>,
    ) -> Self {
        Self {
            host: host.into(),
            port,
            user: user.into(),
            password: password.into(),
            database: database.into(),
            tls: TlsConfig::disabled(),
        }
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A session that asks questions and streams nothing.
    pub(super) fn session(&self) -> ReplicationConfig {
        self.wire("none", Publication::from("none"))
    }

    /// As the protocol library takes it: an address is a name that a certificate may hold, like any other.
    fn tls_to_host(&self) -> TlsConfig {
        let is_address = self.host.parse::<IpAddr>().is_ok();
        let mut tls = self.tls.clone();
        if is_address && tls.sni_hostname.is_none() {
            tls.sni_hostname = Some(self.host.clone());
        }
        tls
    }

    /// A TCP connection to the server, encrypted as [`Server::tls`] says, before any message of PostgreSQL's protocol: for a
    /// client such as tokio-postgres, so that it reaches the server in the same way as the reader does.
    ///
    /// # Errors
    /// When nobody answers, or TLS is not to be had as it is asked for.
    pub async fn socket(&self) -> Result<MaybeTlsStream, PgWireError> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Rows come as fast as they can: nothing is won by waiting for more of them.
        socket.set_nodelay(true)?;
        maybe_upgrade_to_tls(socket, &self.tls_to_host(), &self.host).await
    }

    fn wire(&self, slot: &str, publication: Publication) -> ReplicationConfig {
        ReplicationConfig::new(
            &*self.host,
            &*self.user,
            self.password.expose_secret(),
            &*self.database,
            slot,
            publication,
        )
        .with_port(self.port)
        .with_tls(self.tls_to_host())
        .with_options(SESSION)
        .with_application_name("pgcdc")
    }
}

/// Where the stream keeps its place on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Made with the connection and gone with it: it can be left behind by nobody.
    Temporary(SlotName),
    /// One that is there already; the stream goes on where it was acknowledged last.
    Existing(SlotName),
    /// One that is made when it is not there, and stays until it is dropped.
    Permanent {
        /// Its name.
        name: SlotName,
        /// Whether it is to be there on a standby after a failover (PostgreSQL 17 and later).
        failover: bool,
    },
}

impl Slot {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &SlotName {
        match self {
            Self::Temporary(name) | Self::Existing(name) | Self::Permanent { name, .. } => name,
        }
    }

    /// The command that makes it; `None` for one that is there.
    pub(super) fn creation(&self) -> Option<String> {
        // A slot's name holds nothing that would need quoting.
        match self {
            Self::Temporary(name) => Some(format!(
                "CREATE_REPLICATION_SLOT {name} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
            )),
            Self::Existing(_) => None,
            Self::Permanent { name, failover } => Some(if *failover {
                format!(
                    "CREATE_REPLICATION_SLOT {name} LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER)"
                )
            } else {
                format!("CREATE_REPLICATION_SLOT {name} LOGICAL pgoutput NOEXPORT_SNAPSHOT")
            }),
        }
    }
}

/// When the server hears that a transaction is done with, and may let go of its WAL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// Once the handler has returned from its commit.
    #[default]
    OnReturn,
    /// When [`Acknowledger::acknowledge`](super::Acknowledger::acknowledge) says so: for handlers that pass changes on to a
    /// sink, which has them later.
    ByHand,
}

/// Which transactions are handed over, where replication goes more than one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origins {
    /// All.
    #[default]
    Any,
    /// Those that were made on this server, not those that it got from another.
    Local,
}

/// What to read.
#[derive(Debug)]
pub struct ReaderConfig {
    /// The server.
    pub server: Server,
    /// Publications: which tables, columns and rows.
    pub publications: Vec<String>,
    /// The slot.
    pub slot: Slot,
    /// Go on behind this position, when the slot is not there yet: what a sink that keeps positions beside its data has
    /// kept. A [`Checkpoint`] that holds one wins.
    pub start_after: Option<Lsn>,
    /// Whether the rows that are there already come first. Those of tables that the checkpoint says are copied do not; a
    /// slot that stays needs a checkpoint for it.
    pub snapshot: Option<SnapshotConfig>,
    /// When transactions are acknowledged.
    pub acknowledge: Acknowledge,
    /// Where what was acknowledged is kept besides the slot itself; written before the server hears of them.
    pub checkpoint: Option<Box<dyn Checkpoint>>,
    /// Which transactions.
    pub origins: Origins,
    /// How often the server hears what was acknowledged.
    pub status_interval: Duration,
    /// How often a transactional message is written into the WAL, so that a slot moves on though its own tables are idle
    /// while others are not. `None`: never.
    pub heartbeat: Option<Duration>,
    /// Bytes of WAL that the slot may hold back. Beyond it the reader ends with an error rather than fill the disk.
    pub max_retained_wal: Option<u64>,
    /// Whether values come in PostgreSQL's binary format instead of text. It spares the server work, but a type without
    /// such a format ends the stream.
    pub binary: bool,
    /// Whether the catalogue is asked for what the stream does not say of a table: primary key, and what the types of the
    /// database's own are. It costs a connection, and a question for each table.
    pub describe: bool,
    /// Messages that wait between socket and handler.
    pub buffer: usize,
    /// Largest message (a row, that is) that is taken, bytes.
    pub max_message: usize,
    /// Tells the time at which changes are received.
    pub time_source: Arc<dyn TimeSource>,
}

impl ReaderConfig {
    /// With a slot and publications, and everything else as most want it: acknowledged when handled, a status a second.
    #[must_use]
    pub fn new(
        server: Server,
        slot: Slot,
        publications: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            server,
            publications: publications.into_iter().map(Into::into).collect(),
            slot,
            start_after: None,
            snapshot: None,
            acknowledge: Acknowledge::default(),
            checkpoint: None,
            origins: Origins::default(),
            status_interval: Duration::from_secs(1),
            heartbeat: None,
            max_retained_wal: None,
            binary: false,
            describe: false,
            buffer: 8_192,
            max_message: 1 << 30,
            time_source: Arc::new(SteadyClock::start()),
        }
    }

    /// The stream, behind what was handled, with what was acknowledged.
    pub(super) fn wire(&self, handled: Lsn, acknowledged: Lsn) -> ReplicationConfig {
        let publications: Publication = self.publications.iter().cloned().collect();
        self.server
            .wire(self.slot.name().as_str(), publications)
            .with_start_lsn(pgwire_replication::Lsn::from_u64(handled.0))
            .with_ack_lsn(pgwire_replication::Lsn::from_u64(acknowledged.0))
            .with_status_interval(self.status_interval)
            .with_wakeup_interval(self.status_interval)
            .with_buffer_size(self.buffer)
            .with_binary(self.binary)
            .with_max_message_size(self.max_message)
            // With somebody who hears of it, the library keeps account of what the server was told.
            .with_feedback_observer(FeedbackObserver::new(|_| {}))
    }
}
