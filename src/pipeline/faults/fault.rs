//! A fault.

use std::fmt;
use std::time::Duration;

use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::{KafkaClient, OutageKind};

/// A fault that a run is asked to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What is done, and to what.
    pub action: FaultAction,
    /// When.
    pub moment: Moment,
    /// For how long.
    pub length: Duration,
}

/// What is done, and to what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultAction {
    /// Something is done to a process.
    Process(ProcessAction, ProcessTarget),
    /// Something is done to the link between two processes.
    Link(LinkAction, LinkTarget),
}

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultTarget {
    /// A process.
    Process(ProcessTarget),
    /// A link.
    Link(LinkTarget),
}

/// What is done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessAction {
    /// SIGKILL; it is started again when the length is over.
    Kill,
    /// An orderly shutdown; it is started again when the length is over.
    Stop,
    /// An orderly shutdown and a start at once.
    Restart,
    /// SIGSTOP, and SIGCONT when the length is over.
    Pause,
}

/// A process of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessTarget {
    /// PostgreSQL.
    Postgres,
    /// The broker; of several the one that leads the first partition of the run's first topic.
    Kafka,
    /// Kafka Connect with Debezium; of several workers the one that the connector's task runs on.
    Connect,
    /// The document store.
    Store,
    /// Our consumer, of every path.
    Consumer,
    /// Our reader, of every path on which it captures.
    Reader,
    /// One of several brokers.
    Broker(Node),
    /// One of several workers of Kafka Connect.
    Worker(Node),
}

/// Which of several processes of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// `-1`
    First,
    /// `-2`
    Second,
    /// `-3`
    Third,
}

/// What is done to a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LinkAction {
    /// Its connections are closed, and no new one is accepted.
    Cut,
    /// Its connections are reset; new ones are accepted.
    Reset,
    /// Everything arrives so much later.
    Delay(Duration),
    /// So many bytes a second pass, in each direction of each connection.
    Throttle(u64),
}

/// The link between two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTarget {
    /// From Debezium to PostgreSQL.
    ConnectPostgres,
    /// From our reader to PostgreSQL.
    ReaderPostgres,
    /// From our consumer to the store.
    ConsumerStore,
    /// From Kafka Connect, its worker and its connectors' producers, to Kafka.
    ConnectKafka,
    /// From the producer behind our reader to Kafka.
    ReaderKafka,
    /// From our consumer to Kafka.
    ConsumerKafka,
}

/// When a fault is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// So long after the load began.
    After(Duration),
    /// At this share of the load, in percent.
    Percent(f64),
}

impl ProcessAction {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Stop, Self::Restart, Self::Pause];

    /// Its one name, in flags, files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
        }
    }

    /// How long it goes on where that is not said.
    pub(crate) fn usual_length(self) -> Duration {
        match self {
            Self::Kill | Self::Restart => Duration::ZERO,
            Self::Stop | Self::Pause => Duration::from_secs(5),
        }
    }

    /// What is done to a server.
    #[must_use]
    pub fn outage(self) -> OutageKind {
        match self {
            Self::Kill => OutageKind::Kill,
            Self::Stop | Self::Restart => OutageKind::Stop,
            Self::Pause => OutageKind::Pause,
        }
    }
}

impl ProcessTarget {
    /// Every process, in the pipeline's order.
    pub const ALL: [Self; 6] = [
        Self::Postgres,
        Self::Kafka,
        Self::Connect,
        Self::Store,
        Self::Consumer,
        Self::Reader,
    ];

    /// One of several processes of a server.
    pub const NODES: [Self; 5] = [
        Self::Broker(Node::First),
        Self::Broker(Node::Second),
        Self::Broker(Node::Third),
        Self::Worker(Node::First),
        Self::Worker(Node::Second),
    ];

    /// Its one name, in flags, files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Connect => "connect",
            Self::Store => "store",
            Self::Consumer => "consumer",
            Self::Reader => "reader",
            Self::Broker(Node::First) => "kafka-1",
            Self::Broker(Node::Second) => "kafka-2",
            Self::Broker(Node::Third) => "kafka-3",
            Self::Worker(Node::First) => "connect-1",
            Self::Worker(Node::Second) => "connect-2",
            Self::Worker(Node::Third) => "connect-3",
        }
    }

    /// Whether it is a part of this program.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Consumer | Self::Reader)
    }
}

impl LinkTarget {
    /// Every link.
    pub const ALL: [Self; 6] = [
        Self::ConnectPostgres,
        Self::ReaderPostgres,
        Self::ConnectKafka,
        Self::ReaderKafka,
        Self::ConsumerKafka,
        Self::ConsumerStore,
    ];

    /// Its one name, in flags, files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectPostgres => "connect-postgres",
            Self::ReaderPostgres => "reader-postgres",
            Self::ConsumerStore => "consumer-store",
            Self::ConnectKafka => "connect-kafka",
            Self::ReaderKafka => "reader-kafka",
            Self::ConsumerKafka => "consumer-kafka",
        }
    }

    /// The links that faults are about, each once.
    pub(crate) fn of(faults: &[Fault]) -> impl Iterator<Item = Self> {
        let named = |link: &Self| {
            let mut faults = faults.iter();
            faults.any(|fault| fault.target() == FaultTarget::Link(*link))
        };
        Self::ALL.into_iter().filter(named)
    }

    /// Whose link to Kafka it is, if it is one.
    #[must_use]
    pub fn kafka_client(self) -> Option<KafkaClient> {
        match self {
            Self::ConnectKafka => Some(KafkaClient::Connect),
            Self::ReaderKafka => Some(KafkaClient::Reader),
            Self::ConsumerKafka => Some(KafkaClient::Consumer),
            Self::ConnectPostgres | Self::ReaderPostgres | Self::ConsumerStore => None,
        }
    }

    /// The capture paths that go over it.
    pub(crate) fn paths(self) -> &'static [CapturePath] {
        use CapturePath::{Debezium, Embedded, Wal};
        match self {
            Self::ConnectPostgres | Self::ConnectKafka => &[Debezium],
            Self::ReaderKafka => &[Wal],
            Self::ConsumerKafka => &[Debezium, Wal],
            // On Debezium's path our reader observes.
            Self::ReaderPostgres | Self::ConsumerStore => &[Debezium, Wal, Embedded],
        }
    }
}

impl fmt::Display for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LinkAction {
    /// Its one name, in flags, files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::Delay(_) => "delay",
            Self::Throttle(_) => "throttle",
        }
    }
}

impl FaultTarget {
    /// Its one name, in flags, files and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process(process) => process.as_str(),
            Self::Link(link) => link.as_str(),
        }
    }
}

impl Fault {
    /// What it is about.
    #[must_use]
    pub fn target(&self) -> FaultTarget {
        match self.action {
            FaultAction::Process(_, process) => FaultTarget::Process(process),
            FaultAction::Link(_, link) => FaultTarget::Link(link),
        }
    }

    /// The name of its action.
    #[must_use]
    pub fn action_name(&self) -> &'static str {
        match self.action {
            FaultAction::Process(action, _) => action.as_str(),
            FaultAction::Link(action, _) => action.as_str(),
        }
    }

    /// Whether it needs a server that is a process of a local stack, or a link to one.
    #[must_use]
    pub fn needs_local_stack(&self) -> bool {
        match self.target() {
            FaultTarget::Process(process) => !process.is_ours(),
            FaultTarget::Link(_) => true,
        }
    }
}

/// As it is given on the command line.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, target) = (self.action_name(), self.target().as_str());
        write!(f, "{action}:{target}@")?;
        match self.moment {
            Moment::After(time) => write!(f, "{}s", time.as_secs_f64())?,
            Moment::Percent(percent) => write!(f, "{percent}%")?,
        }
        match self.action {
            FaultAction::Link(LinkAction::Delay(by), _) => {
                write!(f, ",by={}ms", by.as_secs_f64() * 1e3)?
            }
            FaultAction::Link(LinkAction::Throttle(bytes), _) => write!(f, ",to={bytes}")?,
            FaultAction::Process(..) | FaultAction::Link(..) => {}
        }
        if self.length.is_zero() {
            return Ok(());
        }
        write!(f, ",for={}s", self.length.as_secs_f64())
    }
}
