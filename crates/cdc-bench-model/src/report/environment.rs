//! What was measured, and on what: the machine, this program, the four servers (`environment` of `report.json`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was measured, and on what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Environment {
    /// This machine.
    pub host: Host,
    /// This program.
    pub build: BTreeMap<String, String>,
    /// What it used, from its start to the end of the run.
    pub program: Program,
    /// The source.
    pub postgres: PostgresReport,
    /// The broker.
    pub kafka: KafkaReport,
    /// The capture.
    pub debezium: DebeziumReport,
    /// The read model.
    pub store: StoreReport,
}

/// This machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Cores this process may use.
    pub cores: u64,
    /// The processor's name, if the system reports it.
    pub cpu: Option<String>,
    /// Memory, MiB, if the system reports it.
    pub memory_mib: Option<u64>,
}

/// What this program used.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Program {
    /// Most resident memory, MiB.
    pub peak_memory_mib: Option<u64>,
    /// Processor time, user and system, seconds.
    pub cpu_s: Option<f64>,
}

/// PostgreSQL.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PostgresReport {
    /// `server_version`.
    pub version: String,
    /// Settings that matter to the hops.
    #[serde(flatten)]
    pub settings: BTreeMap<String, String>,
}

/// Kafka.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KafkaReport {
    /// Version, where it is known.
    pub version: Option<String>,
    /// Topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// Replicas of each partition; `null` in results of older versions.
    #[serde(default)]
    pub replicas: Option<u64>,
    /// Brokers of the cluster; `null` in results of older versions, and if it was not told.
    #[serde(default)]
    pub brokers: Option<u64>,
    /// `LogAppendTime` or `CreateTime`.
    pub timestamp_type: String,
    /// Consumer group.
    pub group: String,
    /// How our consumer fetched.
    #[serde(default)]
    pub consumer: BTreeMap<String, String>,
}

/// Debezium.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DebeziumReport {
    /// The connector plugin's version, where it is known.
    pub version: Option<String>,
    /// Kafka Connect's version, where it is known.
    pub connect_version: Option<String>,
    /// Kafka Connect's workers, of a local stack.
    #[serde(default)]
    pub connect_workers: Option<u64>,
    /// The connector that ran; `null` when it is not known (no Connect address given).
    pub connector: Option<ConnectorReport>,
}

/// A connector.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConnectorReport {
    /// Its name.
    pub name: String,
    /// The profile it was made with; `null` when it was there already.
    pub profile: Option<String>,
    /// Why one that was there already was taken; `null` of one that the run made.
    #[serde(default)]
    pub chosen: Option<String>,
    /// Its configuration, secrets hidden.
    pub config: BTreeMap<String, String>,
}

impl ConnectorReport {
    /// The profile of one that the run made; else why it was taken.
    #[must_use]
    pub fn origin(&self) -> &str {
        let chosen = self.chosen.as_deref();
        self.profile.as_deref().or(chosen).unwrap_or("as found")
    }

    /// Whether it delivers each record once, in transactions of Kafka's, or does not start (`exactly.once.support`).
    #[must_use]
    pub fn is_exactly_once(&self) -> bool {
        let support = self.config.get("exactly.once.support");
        support.is_some_and(|support| support.eq_ignore_ascii_case("required"))
    }

    /// Its origin, and what is special about its delivery.
    #[must_use]
    pub fn described(&self) -> String {
        let delivery = if self.is_exactly_once() {
            ", exactly once"
        } else {
            ""
        };
        format!("{}{delivery}", self.origin())
    }
}

/// The store.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StoreReport {
    /// `MongoDB`, or what else it names itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it is MongoDB itself.
    pub is_mongodb: bool,
    /// In words.
    pub write_concern: String,
    /// Database.
    pub database: String,
}

/// Describes this machine, as far as the system reports it.
#[must_use]
pub fn host() -> Host {
    let field = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory_kib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    Host {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        cores: std::thread::available_parallelism()
            .map_or(1, |n| u64::try_from(n.get()).unwrap_or(u64::MAX)),
        cpu: field("/proc/cpuinfo", "model name"),
        memory_mib: memory_kib.map(|kib| kib / 1024),
    }
}

/// Resources this process has used so far.
#[must_use]
pub fn program() -> Program {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Program::default();
    };
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    let bytes = u64::try_from(usage.max_rss()).unwrap_or(0) * unit;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Program {
        peak_memory_mib: Some(bytes / (1024 * 1024)),
        cpu_s: u64::try_from(micros)
            .ok()
            .map(|micros| std::time::Duration::from_micros(micros).as_secs_f64()),
    }
}
