//! The JVMs of Kafka's servers and tools: flags, logging, class archive.

use std::path::Path;

use super::launch::server_spec;
use super::plan::StartPlan;
use crate::processes::{ClassArchive, ServerSpec, gc_log, server_of};

/// Servers: small heaps for a quick start, with the optimising compiler on, because servers are what is measured.
const SERVER: [&str; 4] = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Xshare:auto"];

/// Tools: they run once, so no optimising compiler.
const TOOL: [&str; 4] = [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
];

/// Logging to stderr, which is the server's log, without dumps of the configuration.
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

/// The spec of a server of Kafka's distribution, with the class archive it writes.
pub(crate) fn server(
    plan: &StartPlan<'_>,
    name: &str,
    version: &str,
    port: u16,
    main: &str,
    config: &Path,
) -> ServerSpec {
    let archive = class_archive(plan, server_of(name));
    // Of several processes of a server, the first writes it.
    let archive = if name.ends_with("-1") || server_of(name) == name {
        archive
    } else {
        archive.if_existing()
    };
    let log = gc_log(&plan.folder.join(format!("{name}.log")));
    let collections = format!("-Xlog:gc:file={}:utctime:filecount=0", log.display());
    let jvm: Vec<_> = SERVER.into_iter().chain([&*collections]).collect();
    let args = args(plan, &jvm, &archive, main, &[&config.display().to_string()]);
    let mut server_spec = server_spec(plan, name, version, port, &plan.java.path, args);
    server_spec.new_archive = archive.into_new();
    server_spec
}

/// The arguments of a tool of Kafka's distribution. It may use the class archive of `server`.
pub(crate) fn tool(plan: &StartPlan<'_>, server: &str, main: &str, own: &[&str]) -> Vec<String> {
    // A tool loads other classes than the server, so it writes no archive.
    let archive = class_archive(plan, server).if_existing();
    args(plan, &TOOL, &archive, main, own)
}

fn args(
    plan: &StartPlan<'_>,
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

/// The class archive of a server.
fn class_archive(plan: &StartPlan<'_>, server: &str) -> ClassArchive {
    let Some(jvm) = &plan.java.sharing else {
        return ClassArchive::Unused;
    };
    let archive = ClassArchive::of(server, jvm, &plan.artifacts.kafka, plan.cache, plan.folder);
    // Variables set for the server, such as a faked time, would affect the archive.
    let is_usual = !plan.options.server_env.iter().any(|(of, ..)| of == server);
    if is_usual {
        archive
    } else {
        archive.if_existing()
    }
}
