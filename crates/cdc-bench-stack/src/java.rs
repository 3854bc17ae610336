//! Java as it is found, and how servers and tools run on it.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::StackError;
use super::artifacts::{APT, on_path};
use super::child::ServerSpec;
use super::classes::ClassArchive;
use super::local::{Plan, spec};

/// The oldest that Kafka 4 runs on.
const OLDEST: u32 = 17;

/// Small heaps, quick to start, and the optimising compiler left on: this is what gets measured.
const SERVER: [&str; 4] = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto"];

/// What runs once and is done: no optimising.
const TOOL: [&str; 4] = [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
];

/// To stderr, which is the server's log: what an operator would want to read, and no dumps of configurations.
const LOGGING: [&str; 7] = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.connect.runtime.Worker=info",
    // One of Debezium's converters cannot be loaded beside this Connect, and is not needed.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.connect.runtime.isolation.PluginScanner=off",
    "-Dorg.slf4j.simpleLogger.log.io.debezium.connector.postgresql=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
];

/// Java as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Java {
    pub(super) path: PathBuf,
    /// Its version.
    pub(super) major: u32,
    /// The JVM's build, where it is one that shares classes.
    sharing: Option<String>,
}

impl Java {
    /// It must be there, and new enough.
    pub(super) async fn require(cancel: &CancellationToken) -> Result<Self, StackError> {
        let missing = |what: String| {
            Err(StackError::MissingPrerequisite {
                what,
                advice: APT.to_owned(),
            })
        };
        tokio::select! {
            () = cancel.cancelled() => Err(StackError::Cancelled),
            java = Self::find() => match java {
                Some(java) if java.major >= OLDEST => Ok(java),
                Some(Self { path, major, .. }) => missing(format!("Java {OLDEST} or later ({} is Java {major})", path.display())),
                None => missing(format!("Java {OLDEST} or later (java)")),
            },
        }
    }

    async fn find() -> Option<Self> {
        let path = on_path("java")?;
        let output = Command::new(&path).arg("-version").output().await.ok()?;
        Self::read(path, &String::from_utf8_lossy(&output.stderr))
    }

    fn read(path: PathBuf, told: &str) -> Option<Self> {
        // openjdk version "17.0.15" 2025-04-15
        let quoted = told.split('"').nth(1)?;
        let major = quoted.split(['.', '-', '+']).next()?.parse().ok()?;
        // OpenJDK 64-Bit Server VM (build 17.0.15+6-Debian-1deb12u1, mixed mode, sharing)
        let vm = told.lines().find(|line| line.ends_with(", sharing)"));
        Some(Self {
            path,
            major,
            sharing: vm.map(str::to_owned),
        })
    }
}

/// How a server of Kafka's is started, and what it leaves.
pub(super) fn server(
    plan: &Plan<'_>,
    name: &str,
    version: &str,
    port: u16,
    main: &str,
    config: &Path,
) -> ServerSpec {
    let archive = class_archive(plan, name);
    let args = args(
        plan,
        &SERVER,
        &archive,
        main,
        &[&config.display().to_string()],
    );
    let mut spec = spec(plan, name, version, port, &plan.java.path, args);
    spec.new_archive = archive.into_new();
    spec
}

/// The arguments of a tool that goes with a server of Kafka's, and may use what that has left.
pub(super) fn tool(plan: &Plan<'_>, server: &str, main: &str, own: &[&str]) -> Vec<String> {
    // It has not loaded what the server will.
    let archive = class_archive(plan, server).if_kept();
    args(plan, &TOOL, &archive, main, own)
}

fn args(
    plan: &Plan<'_>,
    jvm: &[&str],
    archive: &ClassArchive,
    main: &str,
    own: &[&str],
) -> Vec<String> {
    let mut all: Vec<String> = jvm
        .iter()
        .chain(&LOGGING)
        .map(|flag| (*flag).to_owned())
        .collect();
    all.extend(archive.flag());
    all.extend([
        "-cp".to_owned(),
        format!("{}/*", plan.artifacts.kafka.display()),
        main.to_owned(),
    ]);
    all.extend(own.iter().map(|arg| (*arg).to_owned()));
    all
}

/// The classes that an earlier JVM of a server has left, or this one will.
fn class_archive(plan: &Plan<'_>, server: &str) -> ClassArchive {
    let Some(jvm) = &plan.java.sharing else {
        return ClassArchive::Unused;
    };
    let archive = ClassArchive::of(server, jvm, &plan.artifacts.kafka, plan.cache, plan.folder);
    // What is set for it, such as another time of day, would be in the archive.
    let is_usual = !plan.options.server_env.iter().any(|(of, ..)| of == server);
    if is_usual { archive } else { archive.if_kept() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_says_what_it_is() {
        let read = |told| Java::read(PathBuf::from("java"), told).unwrap();
        let openjdk = read(
            "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)\n\
             OpenJDK 64-Bit Server VM (build 17.0.15+6, mixed mode, sharing)\n",
        );
        assert_eq!(openjdk.major, 17);
        assert!(
            openjdk
                .sharing
                .is_some_and(|vm| vm.contains("build 17.0.15+6"))
        );
        let other = read("openjdk version \"21-ea\"\nEclipse OpenJ9 VM (build x, JRE 21)\n");
        assert_eq!((other.major, other.sharing), (21, None));
    }
}
