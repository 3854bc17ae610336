//! The observation of such a pipeline.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::super::stack::command::with;
use super::super::stack::processes::{id, signal};
use super::super::stack::{TestStack, open_folder, until_within};
use super::sink::{DATABASE, MongoSink};

/// An observation that is under way. It is killed when it is dropped.
pub struct Observing(Option<(Child, TempDir)>);

/// One that has ended.
pub struct Observed {
    pub code: Option<i32>,
    pub report: Value,
    pub errors: String,
    folder: TempDir,
}

/// The command on this pipeline.
pub fn observe(stack: &TestStack, sink: Option<&MongoSink>) -> Command {
    let mut command = with(stack.external(), &["observe"]);
    match sink {
        Some(sink) => {
            command
                .env("MONGODB_URI", &sink.uri)
                .env("MONGODB_DATABASE", DATABASE);
        }
        None => {
            command.env_remove("MONGODB_URI");
        }
    }
    command
}

impl Observing {
    /// Begins, and waits until all taps are open: the slot is the last.
    pub fn begin(stack: &TestStack, sink: Option<&MongoSink>, args: &[&str]) -> Self {
        Self::of(stack, observe(stack, sink), args)
    }

    pub fn of(stack: &TestStack, command: Command, args: &[&str]) -> Self {
        Self::with_slots(stack, command, args, 1)
    }

    /// One with so many slots on the stack's server.
    pub fn with_slots(stack: &TestStack, mut command: Command, args: &[&str], slots: u64) -> Self {
        let active = "select count(*) from pg_replication_slots where slot_name like 'cdc_bench_observe%' and active";
        let before: u64 = stack.sql(active)[0].parse().unwrap();
        let folder = open_folder();
        // It ends as soon as no change is under way.
        if !args.contains(&"--drain-timeout") {
            command.args(["--drain-timeout", "300"]);
        }
        command
            .arg("--json")
            .args(args)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        until_within(Duration::from_secs(60), "observe's slot", || {
            let has_ended = child.try_wait().unwrap();
            if has_ended.is_some() {
                let mut said = String::new();
                let errors = child.stderr.take();
                std::io::Read::read_to_string(&mut errors.unwrap(), &mut said).unwrap();
                panic!("it did not begin: {said}");
            }
            stack.sql(active)[0].parse::<u64>().unwrap() >= before + slots
        });
        Self(Some((child, folder)))
    }

    pub fn kill(self) {
        drop(self);
    }

    /// Interrupts it, as Ctrl-C does.
    pub fn end(mut self) -> Observed {
        let (child, folder) = self.0.take().unwrap();
        signal(id(&child), Signal::SIGINT);
        let out = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        let report = serde_json::from_slice(&out.stdout);
        Observed {
            code: out.status.code(),
            report: report.unwrap_or_else(|error| panic!("{error}: {errors}")),
            errors,
            folder,
        }
    }
}

impl Drop for Observing {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.0.take() {
            signal(id(&child), Signal::SIGKILL);
            drop(child.wait());
        }
    }
}

impl Observed {
    pub fn count(&self, name: &str) -> u64 {
        let counts = &self.report["counts"];
        let count = name.split('.').fold(counts, |at, part| &at[part]);
        count.as_u64().unwrap_or_else(|| panic!("{name}: {counts}"))
    }

    /// A figure of a hop, microseconds.
    pub fn hop(&self, hop: &str, figure: &str) -> i64 {
        let hop = &self.report["paths"]["observed"]["hops"][hop];
        hop[figure]
            .as_i64()
            .unwrap_or_else(|| panic!("{figure}: {hop}"))
    }

    pub fn slowest_hop(&self) -> &str {
        self.report["diagnosis"]["slowest_hop"].as_str().unwrap()
    }

    /// Asserts that every change came to every tap, once.
    #[track_caller]
    pub fn assert_complete(&self, changes: u64) {
        let counts = &self.report["counts"];
        assert_eq!(self.code, Some(0), "{counts} {}", self.errors);
        for all in ["captured", "in_kafka", "completed"] {
            assert_eq!(self.count(all), changes, "{all}: {counts}");
        }
        for none in [
            "missing",
            "in_flight",
            "duplicates",
            "unreadable",
            "negative_hops",
            "not_covered",
            "not_shown",
        ] {
            assert_eq!(counts[none], 0, "{none}: {counts}");
        }
    }

    pub fn has_incident(&self, kind: &str, says: &str) -> bool {
        let incidents = self.report["incidents"].as_array().unwrap();
        incidents.iter().any(|incident| {
            incident["kind"] == kind && incident["what"].as_str().unwrap().contains(says)
        })
    }

    /// The lines of a file of the result's folder.
    pub fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        let results = self.folder.path().join("cdc-bench-results");
        let mut runs = std::fs::read_dir(&results).unwrap().flatten();
        runs.next().unwrap().path().join(name)
    }
}
