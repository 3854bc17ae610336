//! Configuration of a reader: server, slot, publications, and when the server may discard WAL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postgres_protocol::escape::escape_identifier;

use super::checkpoint::Checkpoint;
use super::clock::{SteadyClock, TimeSource};
use super::event_queue::EventBuffer;
use super::server::Server;
use super::{Lsn, SlotName};

/// The replication slot: the position of the stream that the server keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Created with the connection, and dropped by the server when the connection closes: it cannot be left on the server.
    Temporary(SlotName),
    /// An existing slot; the stream resumes at its last acknowledged position.
    Existing(SlotName),
    /// Created when it does not exist, and kept until it is dropped.
    Permanent {
        /// Its name.
        name: SlotName,
        /// Whether it is synchronised to standbys for a failover (PostgreSQL 17 and later).
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

    /// The command that creates it; `None` for an existing slot.
    pub(super) fn create_command(&self) -> Option<String> {
        // A slot name holds no character that needs quoting.
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

/// When a transaction is acknowledged to the server, which may then discard its WAL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When the handler has returned from its commit.
    #[default]
    OnReturn,
    /// When [`Acknowledger::acknowledge`](super::Acknowledger::acknowledge) is called: for handlers that pass changes on to
    /// a sink which makes them durable later.
    Manual,
}

/// Which transactions are delivered, by their replication origin. It matters where servers replicate in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origins {
    /// All transactions.
    #[default]
    Any,
    /// Transactions that were made on this server, not those replicated to it from another.
    Local,
}

/// How the initial copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// Number of tables that are copied concurrently, each over a connection of its own.
    pub connections: usize,
}

impl Default for SnapshotConfig {
    /// Four tables concurrently.
    fn default() -> Self {
        Self { connections: 4 }
    }
}

/// Where transactions wait that the server sends while they run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Bytes of them that are kept in memory; what is beyond goes into files without a name.
    pub memory: usize,
    /// Folder of these files; the system's folder for temporary files if it is not set.
    pub folder: Option<PathBuf>,
}

impl Default for SpoolConfig {
    /// 64 MiB in memory.
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            folder: None,
        }
    }
}

/// Configuration of a reader.
#[derive(Debug)]
pub struct ReaderConfig {
    /// The server.
    pub server: Server,
    /// Publications: they select tables, columns and rows.
    pub publications: Vec<String>,
    /// The slot.
    pub slot: Slot,
    /// Start after this position: the one that a sink keeps beside its data. The position of a [`Checkpoint`] takes
    /// precedence. A position before that of the slot is an error, since what lies between cannot be read.
    pub start_after: Option<Lsn>,
    /// Whether existing rows are copied before the stream. Tables that the checkpoint lists as copied are left out; a slot
    /// that is not temporary needs a checkpoint for it.
    pub snapshot: Option<SnapshotConfig>,
    /// When transactions are acknowledged.
    pub acknowledge: Acknowledge,
    /// Durable store of acknowledged positions besides the slot; written before they are acknowledged to the server.
    pub checkpoint: Option<Box<dyn Checkpoint>>,
    /// Which transactions are delivered.
    pub origins: Origins,
    /// Interval of the status updates that acknowledge positions to the server; a third of the server's
    /// `wal_sender_timeout` where that is shorter. They are sent on a thread of their own, also while the handler is at work.
    pub status_interval: Duration,
    /// Interval at which a transactional message is written into the WAL, so that the slot advances while its own tables are
    /// idle and others are not. `None`: never.
    pub heartbeat: Option<Duration>,
    /// Most bytes of WAL that the slot may retain. Beyond it the reader ends with an error rather than fill the server's disk.
    pub max_retained_wal: Option<u64>,
    /// Whether the server sends large transactions while they run, and where they wait for their end; `None` when it is to
    /// keep them on its own disk until they commit.
    pub spool: Option<SpoolConfig>,
    /// Whether values come in PostgreSQL's binary format instead of text. It spares the server work, but a type without a
    /// binary format ends the stream.
    pub binary: bool,
    /// Whether the catalogue is queried for what the stream does not carry: primary keys, `NOT NULL`, defaults, and
    /// user-defined types. It takes a connection, and a query for each table.
    pub describe: bool,
    /// Longest wait for the server to create the slot: it waits for every transaction that was open before.
    pub slot_limit: Duration,
    /// A server that sends nothing for this long, though asked to, is taken for gone, and the stream is opened again. `None`:
    /// the server's own `wal_sender_timeout`, or a minute where that is off.
    pub silence_limit: Option<Duration>,
    /// Largest accepted message (which is a row), bytes.
    pub max_message: usize,
    /// What waits for the task that takes the events of [`Reader::events`](super::Reader::events).
    pub buffer: EventBuffer,
    /// Source of the times at which changes are received.
    pub time_source: Arc<dyn TimeSource>,
}

impl ReaderConfig {
    /// A configuration with default settings: acknowledged when the handler returns, a status update each second.
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
            spool: Some(SpoolConfig::default()),
            binary: false,
            describe: false,
            slot_limit: Duration::from_secs(60),
            silence_limit: None,
            max_message: 1 << 30,
            buffer: EventBuffer::default(),
            time_source: Arc::new(SteadyClock::start()),
        }
    }

    /// The command that starts the stream after `resume_lsn`.
    pub(super) fn start_command(&self, resume_lsn: Lsn) -> String {
        // The server reads the list as it reads identifiers: an unquoted name is folded to lower case.
        let names = self.publications.iter().map(|name| escape_identifier(name));
        let names = names.collect::<Vec<_>>().join(",").replace('\'', "''");
        let version = match self.spool {
            Some(_) => "proto_version '2', streaming 'on'",
            None => "proto_version '1'",
        };
        let binary = if self.binary { ", binary 'true'" } else { "" };
        format!(
            "START_REPLICATION SLOT {} LOGICAL {resume_lsn} ({version}, publication_names '{names}', messages 'true'{binary})",
            self.slot.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_publications_are_quoted_where_the_server_parses_them() {
        let server = Server::new("db", 5432, "me", String::new(), "d");
        let slot = Slot::Existing(SlotName::new("s").unwrap());
        let mut config = ReaderConfig::new(server, slot, ["Orders", "it's \"b\", c"]);
        assert_eq!(
            config.start_command(Lsn(0x1_0000_0002)),
            "START_REPLICATION SLOT s LOGICAL 1/2 (proto_version '2', streaming 'on', publication_names '\"Orders\",\"it''s \"\"b\"\", c\"', messages 'true')"
        );
        config.spool = None;
        assert!(
            config
                .start_command(Lsn(1))
                .contains("(proto_version '1', publication_names")
        );
    }
}
