//! The command under test: how it is started, and what it has said.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Every variable by which the command finds servers, so that none is inherited from the developer's shell.
const VARIABLES: [&str; 34] = [
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_DB",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_TOPIC",
    "KAFKA_GROUP_ID",
    "CONNECT_URL",
    "CONNECT_USERNAME",
    "CONNECT_PASSWORD",
    "CONNECT_SSL_CA",
    "CONNECT_SSL_CERTIFICATE",
    "CONNECT_SSL_KEY",
    "MONGODB_USERNAME",
    "MONGODB_URI",
    "MONGODB_DATABASE",
    "METRICS_FILE",
    "POSTGRES_URL",
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGTARGETSESSIONATTRS",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
];

/// JVMs that compile once and quickly. By default they compile for minutes what a short test does not profit from, and use a
/// quarter of a small machine's processor time for it.
pub const QUICK_JVMS: (&str, &str) = ("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1");

/// Data of servers that the command starts itself. The folder is the tests' own, so that they never meet a stack that a user keeps.
fn state_folder() -> PathBuf {
    std::env::temp_dir().join("cdc-bench-tests")
}

/// The command, without any servers.
pub fn cdc_bench() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdc-bench"));
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("CDC_BENCH_STATE_DIR", state_folder());
    command
}

/// The same, which starts servers of its own for a moment.
pub fn cdc_bench_with_servers() -> Command {
    let mut command = cdc_bench();
    command.env(QUICK_JVMS.0, QUICK_JVMS.1);
    command
}

/// A command that has ended, with its output.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Asserts the exit code and the error message.
    #[track_caller]
    pub fn refused(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{}", self.err);
        for words in says {
            assert!(
                self.err.contains(words),
                "{words:?} is not in: {}",
                self.err
            );
        }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert!(self.code <= 1, "exit code {}: {}", self.code, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }
}

pub fn ended(mut command: Command) -> Ended {
    command.output().unwrap().into()
}

/// A command with more arguments.
pub fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

/// A `run` of a few events whose objectives no machine misses, its results in `folder`.
pub fn small_run(mut command: Command, folder: &Path, args: &[&str]) -> Command {
    command
        .args(["run", "--json", "--min-throughput", "0.001"])
        .args([
            "--max-p50",
            "600000",
            "--max-p95",
            "600000",
            "--max-p99",
            "600000",
        ])
        .args(args)
        .arg("--results-dir")
        .arg(folder);
    if !args.contains(&"--warmup") {
        command.args(["--warmup", "20"]);
    }
    command
}

/// The median of a hop of Debezium's, microseconds.
pub fn p50(report: &Value, hop: &str) -> f64 {
    let p50 = report["paths"]["debezium"]["hops"][hop]["p50"].as_f64();
    p50.unwrap()
}

/// The one result folder in `parent`, once it is there.
pub fn result_folder(parent: &Path) -> Option<PathBuf> {
    std::fs::read_dir(parent)
        .ok()?
        .flatten()
        .next()
        .map(|entry| entry.path())
}

/// Asserts that a run has processed every event.
#[track_caller]
pub fn assert_complete(report: &Value, events: u64) {
    for place in ["inserted", "captured", "in_kafka", "consumed", "written"] {
        let count = report["counts"][place].as_u64().unwrap();
        // A record that Debezium had to send twice is in Kafka twice.
        let fits = if place == "in_kafka" {
            count >= events
        } else {
            count == events
        };
        assert!(fits, "{place}: {}", report["counts"]);
    }
    for trouble in ["lost", "errors", "lsn_mismatches"] {
        assert_eq!(
            report["counts"][trouble], 0,
            "{trouble}: {}",
            report["counts"]
        );
    }
    assert_eq!(report["verification"]["match_percent"], 100.0);
}
