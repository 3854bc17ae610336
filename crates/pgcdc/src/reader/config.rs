//! Configuration of a reader: server, slot, publications, and when the server may discard WAL.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postgres_protocol::escape::escape_identifier;

use crate::checkpoint::Checkpoint;
use crate::clock::{SteadyClock, TimeSource};
use crate::event_stream::queue::EventBuffer;
use crate::server::Server;
use crate::{Lsn, SlotName};

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
    pub(crate) fn create_command(&self, two_phase: bool) -> Option<String> {
        let (kind, failover) = match self {
            Self::Temporary(_) => ("TEMPORARY LOGICAL", false),
            Self::Existing(_) => return None,
            Self::Permanent { failover, .. } => ("LOGICAL", *failover),
        };
        // What servers before 15 know.
        let mut options = "NOEXPORT_SNAPSHOT".to_owned();
        if failover || two_phase {
            options = "(SNAPSHOT 'nothing'".to_owned();
            options += if failover { ", FAILOVER" } else { "" };
            options += if two_phase { ", TWO_PHASE)" } else { ")" };
        }
        // A slot name holds no character that needs quoting.
        Some(format!(
            "CREATE_REPLICATION_SLOT {} {kind} pgoutput {options}",
            self.name()
        ))
    }
}

/// When a transaction is acknowledged to the server, which may then discard its WAL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// When the handler has returned from its commit.
    #[default]
    OnReturn,
    /// When [`Acknowledger::acknowledge`](crate::Acknowledger::acknowledge) is called: for handlers that pass changes on to
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
    /// Number of connections: each copies a table, or a chunk of one.
    pub connections: usize,
    /// Size of a chunk, bytes of the table. Connections share the chunks of a larger table.
    pub chunk: u64,
    /// Where a copy goes on that was interrupted.
    pub resume: SnapshotResume,
}

impl Default for SnapshotConfig {
    /// Four connections, chunks of 64 MiB, resumed by table.
    fn default() -> Self {
        Self {
            connections: 4,
            chunk: 64 << 20,
            resume: SnapshotResume::default(),
        }
    }
}

impl SnapshotConfig {
    /// Blocks of a chunk. A single connection shares no table, and copies it as a whole unless it may have to go on within it.
    pub(crate) fn chunk_blocks(self, block_size: u32) -> u32 {
        if self.connections <= 1 && self.resume == SnapshotResume::ByTable {
            return u32::MAX;
        }
        let blocks = self.chunk / u64::from(block_size.max(1));
        u32::try_from(blocks).unwrap_or(u32::MAX).max(1)
    }
}

/// Where an initial copy goes on that was interrupted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SnapshotResume {
    /// With the tables that are not complete, from their beginning: a table's rows are of one snapshot, and each comes once.
    #[default]
    ByTable,
    /// Within a table, after the chunks that are acknowledged. Its rows are of several snapshots then, and its changes since the
    /// first of them follow in the stream: a row may come more than once, and a change whose outcome the sink has already. A sink
    /// that applies both by the table's key ends with the table's rows. A table without a key, and one that was truncated or
    /// rewritten meanwhile, begins anew.
    ByChunk,
}

/// Where transactions wait that the server sends while they run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Bytes of them that are kept in memory; what is beyond goes into files without a name.
    pub memory: usize,
    /// Folder of these files; the system's folder for temporary files if it is not set.
    pub folder: Option<PathBuf>,
    /// Bytes of changes that the server keeps before it sends those of the largest transaction: the session's
    /// `logical_decoding_work_mem`, where the server's own setting is larger. What it still has at the commit comes only then:
    /// the less, the sooner a large transaction is here. `None`: the server's own setting.
    pub server_memory: Option<usize>,
}

impl Default for SpoolConfig {
    /// 64 MiB in memory, and 4 MiB in the server's.
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            folder: None,
            server_memory: Some(4 << 20),
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
    /// Whether transactions that are prepared (`PREPARE TRANSACTION`) are delivered when they are, and their end when it comes:
    /// [`Event::Prepare`](crate::Event), [`Event::CommitPrepared`](crate::Event), [`Event::RollbackPrepared`](crate::Event).
    /// Otherwise they are delivered when they have committed, as any other. It is a property of the slot, set when it is made
    /// (PostgreSQL 15; with [`Origins::Local`] 16), and does not go together with an initial copy: a row that is prepared
    /// while the copy is made may be in both, or in neither.
    ///
    /// A transaction that was prepared before the slot could decode it comes just before its `COMMIT PREPARED`, at its old
    /// position; one that is rolled back before the server decodes it comes without some of its rows. The server keeps WAL from the beginning of each transaction that stays prepared.
    pub two_phase: bool,
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
    /// What waits for the task that takes the events of [`Reader::events`](crate::Reader::events).
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
            two_phase: false,
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
    pub(crate) fn start_command(&self, resume_lsn: Lsn) -> String {
        // The server reads the list as it reads identifiers: an unquoted name is folded to lower case.
        let names = self.publications.iter().map(|name| escape_identifier(name));
        let names = names.collect::<Vec<_>>().join(",").replace('\'', "''");
        let version = match (self.two_phase, &self.spool) {
            (true, Some(_)) => "proto_version '3', streaming 'on', two_phase 'on'",
            (true, None) => "proto_version '3', two_phase 'on'",
            (false, Some(_)) => "proto_version '2', streaming 'on'",
            (false, None) => "proto_version '1'",
        };
        // The end of a prepared transaction does not say where that came from: the server is to leave it out.
        let origin = if self.two_phase && self.origins == Origins::Local {
            ", origin 'none'"
        } else {
            ""
        };
        let binary = if self.binary { ", binary 'true'" } else { "" };
        format!(
            "START_REPLICATION SLOT {} LOGICAL {resume_lsn} ({version}, publication_names '{names}', messages 'true'{binary}{origin})",
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
        (config.two_phase, config.origins) = (true, Origins::Local);
        let command = config.start_command(Lsn(1));
        assert!(
            command.contains("(proto_version '3', two_phase 'on', ")
                && command.ends_with(", origin 'none')"),
            "{command}"
        );
    }

    #[test]
    fn a_slot_is_made_with_what_was_asked_for() {
        let name = SlotName::new("s").unwrap();
        let permanent = |failover| Slot::Permanent {
            name: name.clone(),
            failover,
        };
        let command = |slot: Slot, two_phase| {
            let command = slot.create_command(two_phase).unwrap();
            command.replace("CREATE_REPLICATION_SLOT s ", "")
        };
        assert_eq!(
            command(Slot::Temporary(name.clone()), false),
            "TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
        );
        assert_eq!(
            command(permanent(false), false),
            "LOGICAL pgoutput NOEXPORT_SNAPSHOT"
        );
        assert_eq!(
            command(permanent(true), false),
            "LOGICAL pgoutput (SNAPSHOT 'nothing', FAILOVER)"
        );
        assert_eq!(
            command(permanent(false), true),
            "LOGICAL pgoutput (SNAPSHOT 'nothing', TWO_PHASE)"
        );
        assert!(Slot::Existing(name).create_command(true).is_none());
    }
}
