//! The stack that is kept for later runs: a supervisor process of ours owns its servers, in the foreground or detached.
//!
//! The supervisor holds the lock of the stack's folder for as long as it lives, and the kernel ends the servers with it:
//! a kept stack is either there with all its servers or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, write_private};
use super::java::Java;
use super::local::{KEPT, LocalStack, Place};
use super::supervision::ServerStatus;
use super::{LocalOptions, Progress, STOPPING, StackError, artifacts, child, instance, servers};
use crate::endpoints::{Endpoints, KafkaEndpoint, PostgresEndpoint, StoreEndpoint};

/// What later commands read.
const RECORD: &str = "stack.json";
/// The same endpoints for a shell.
const ENVIRONMENT: &str = "stack.env";
/// Taken by the run that uses the stack.
const IN_USE: &str = "in-use.lock";
/// How often the supervisor looks whether its servers are the same processes still.
const TICK: Duration = Duration::from_millis(200);
/// Longest wait for a supervisor to end.
const DOWN_LIMIT: Duration = Duration::from_secs(20);

/// `stack.json`. It holds passwords, so only its owner can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    since: String,
    kafka_version: String,
    servers: Vec<ServerStatus>,
    endpoints: EndpointsRecord,
    given_up: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EndpointsRecord {
    postgres_host: String,
    postgres_port: u16,
    postgres_db: String,
    postgres_user: String,
    postgres_password: String,
    kafka_bootstrap_servers: String,
    connect_url: Option<String>,
    mongodb_uri: String,
    mongodb_database: String,
}

impl From<&Endpoints> for EndpointsRecord {
    fn from(endpoints: &Endpoints) -> Self {
        let postgres = &endpoints.postgres;
        Self {
            postgres_host: postgres.host.clone(),
            postgres_port: postgres.port,
            postgres_db: postgres.database.clone(),
            postgres_user: postgres.user.clone(),
            postgres_password: postgres.password.expose_secret().to_owned(),
            kafka_bootstrap_servers: endpoints.kafka.bootstrap.clone(),
            connect_url: endpoints.connect.clone(),
            mongodb_uri: endpoints.store.uri.expose_secret().to_owned(),
            mongodb_database: endpoints.store.database.clone(),
        }
    }
}

impl From<EndpointsRecord> for Endpoints {
    fn from(record: EndpointsRecord) -> Self {
        Self {
            postgres: PostgresEndpoint {
                host: record.postgres_host,
                port: record.postgres_port,
                database: record.postgres_db,
                user: record.postgres_user,
                password: record.postgres_password.into(),
                tls: pgcdc::TlsConfig::disabled(),
            },
            kafka: KafkaEndpoint {
                bootstrap: record.kafka_bootstrap_servers,
            },
            postgres_for_connect: None,
            connect: record.connect_url,
            store: StoreEndpoint {
                uri: record.mongodb_uri.into(),
                database: record.mongodb_database,
            },
        }
    }
}

impl EndpointsRecord {
    /// Lines for a shell, or for `.env`. Everything in it is of our own making and needs no quotes but the URI's.
    fn environment(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name}='{value}'\n"));
        line("POSTGRES_HOST", &self.postgres_host);
        line("POSTGRES_PORT", &self.postgres_port.to_string());
        line("POSTGRES_DB", &self.postgres_db);
        line("POSTGRES_USER", &self.postgres_user);
        line("POSTGRES_PASSWORD", &self.postgres_password);
        line("KAFKA_BOOTSTRAP_SERVERS", &self.kafka_bootstrap_servers);
        if let Some(url) = &self.connect_url {
            line("CONNECT_URL", url);
        }
        line("MONGODB_URI", &self.mongodb_uri);
        line("MONGODB_DATABASE", &self.mongodb_database);
        text
    }
}

/// A kept stack that is up.
#[derive(Debug, Clone)]
pub struct KeptStack {
    folder: PathBuf,
    supervisor: u32,
    record: Record,
}

/// The right of one run to a kept stack; given back when dropped.
#[derive(Debug)]
pub(super) struct Claim(#[allow(dead_code)] File);

impl KeptStack {
    /// The one that is up, if there is one.
    #[must_use]
    pub fn find(cache: &Cache) -> Option<Self> {
        let folder = cache.stacks().join(KEPT);
        let supervisor = instance::owner(&folder)?;
        let record = std::fs::read(folder.join(RECORD)).ok()?;
        Some(Self {
            record: serde_json::from_slice(&record).ok()?,
            folder,
            supervisor,
        })
    }

    /// Where its servers are.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        self.record.endpoints.clone().into()
    }

    /// Its servers, as of now.
    #[must_use]
    pub fn servers(&self) -> &[ServerStatus] {
        &self.record.servers
    }

    /// Its servers as the supervisor has them now.
    pub(super) fn servers_now(&self) -> Vec<ServerStatus> {
        let record = std::fs::read(self.folder.join(RECORD)).ok();
        let now: Option<Record> = record.and_then(|text| serde_json::from_slice(&text).ok());
        now.map_or_else(|| self.record.servers.clone(), |record| record.servers)
    }

    /// When it was ready, RFC 3339.
    #[must_use]
    pub fn since(&self) -> &str {
        &self.record.since
    }

    /// Its supervisor's process.
    #[must_use]
    pub fn supervisor(&self) -> u32 {
        self.supervisor
    }

    /// The server that its supervisor has given up, and why.
    #[must_use]
    pub fn given_up(&self) -> Option<&str> {
        self.record.given_up.as_deref()
    }

    /// The file with its endpoints and passwords, for a shell.
    #[must_use]
    pub fn environment_file(&self) -> PathBuf {
        self.folder.join(ENVIRONMENT)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn kafka_version(&self) -> &str {
        &self.record.kafka_version
    }

    /// Whether a run has claimed it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.claim().is_none()
    }

    /// Takes it for a run; `None` when another has it.
    pub(super) fn claim(&self) -> Option<Claim> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(IN_USE))
            .ok()?;
        file.try_lock().is_ok().then_some(Claim(file))
    }

    /// Whether each server answers, in the pipeline's order; the reason where one does not.
    pub async fn health(&self) -> Vec<(&'static str, Result<(), String>)> {
        servers::answers(&self.endpoints(), Duration::from_secs(5)).await
    }

    /// Ends it: its supervisor stops the servers and removes their data.
    ///
    /// # Errors
    /// When it is not gone within 20 s.
    pub fn down(&self) -> Result<(), StackError> {
        stop_supervisor(&self.folder, self.supervisor)
    }
}

fn stop_supervisor(folder: &Path, supervisor: u32) -> Result<(), StackError> {
    // It may be gone by now.
    let _ = kill(child::pid(supervisor), Signal::SIGTERM);
    let began = Instant::now();
    while instance::owner(folder) == Some(supervisor) {
        if began.elapsed() > DOWN_LIMIT {
            return Err(StackError::NotUp(format!(
                "the stack's supervisor (process {supervisor}) has not ended within {} s; its log: {}",
                DOWN_LIMIT.as_secs(),
                log_of(folder).display()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The supervisor's own log; beside the folder, so that it outlives it.
fn log_of(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

/// Starts a stack, writes down where it is, and supervises it until `cancel`. `ready` hears of it once it is up.
///
/// # Errors
/// When one is up already, or a server does not start.
pub async fn keep(
    cache: &Cache,
    options: &LocalOptions,
    progress: &dyn Progress,
    cancel: &CancellationToken,
    ready: impl FnOnce(&KeptStack),
) -> Result<(), StackError> {
    let stack = LocalStack::start(cache, Place::Kept, options, progress, cancel).await?;
    let folder = stack.folder().to_owned();
    let mut record = Record {
        since: jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
        kafka_version: artifacts::version::kafka().to_owned(),
        servers: stack.supervision.servers(),
        endpoints: EndpointsRecord::from(&stack.endpoints),
        given_up: None,
    };
    let environment = record.endpoints.environment();
    write_private(&folder.join(ENVIRONMENT), environment.as_bytes())?;
    record.write(&folder)?;
    ready(&KeptStack {
        folder: folder.clone(),
        supervisor: std::process::id(),
        record: record.clone(),
    });
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(TICK) => {}
        }
        let (servers, given_up) = (stack.supervision.servers(), stack.supervision.given_up());
        if servers != record.servers || given_up != record.given_up {
            record.servers = servers;
            record.given_up = given_up;
            record.write(&folder)?;
        }
    }
    progress.begin(STOPPING);
    stack.stop();
    progress.end(STOPPING, "nothing is left running");
    Ok(())
}

impl Record {
    /// A reader sees the old one or the new one, never half of one.
    fn write(&self, folder: &Path) -> Result<(), StackError> {
        let (partial, path) = (folder.join(".stack.json"), folder.join(RECORD));
        let text = serde_json::to_vec_pretty(self).map_err(|e| StackError::Io {
            action: "write",
            path: path.clone(),
            reason: e.to_string(),
        })?;
        write_private(&partial, &text)?;
        std::fs::rename(&partial, &path).map_err(StackError::io("put in place", &path))
    }
}

/// Starts a supervisor that goes on without us, and waits until its stack is up.
///
/// # Errors
/// When one is being started already, or this one does not get up: with what it said.
pub async fn up(
    cache: &Cache,
    options: &LocalOptions,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<KeptStack, StackError> {
    // Here, where it can be shown: of the supervisor there is a log alone.
    Java::require(cancel).await?;
    artifacts::provide(cache, progress, cancel).await?;
    let folder = cache.stacks().join(KEPT);
    super::cache::make_dir(&cache.stacks(), 0o755)?;
    let log_path = log_of(&folder);
    let log = File::create(&log_path).map_err(StackError::io("write", &log_path))?;
    let errors = log
        .try_clone()
        .map_err(StackError::io("write", &log_path))?;
    let program = std::env::current_exe().map_err(StackError::io("find", "our own program"))?;
    let mut command = Command::new(program);
    command
        .args(["stack", "up", "--foreground"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors);
    drop(log);
    for (key, value) in &options.postgres_settings {
        command
            .arg("--postgres-config")
            .arg(format!("{key}={value}"));
    }
    for (server, variable, value) in &options.server_env {
        command
            .arg("--server-env")
            .arg(format!("{server}:{variable}={value}"));
    }
    child::leave_the_terminal(&mut command);
    let mut supervisor = command
        .spawn()
        .map_err(StackError::io("start", "the supervisor"))?;
    let step = "stack";
    progress.begin(step);
    loop {
        if let Some(kept) = KeptStack::find(cache).filter(|kept| kept.supervisor == supervisor.id())
        {
            progress.end(step, "is up");
            return Ok(kept);
        }
        let said = std::fs::read_to_string(&log_path).unwrap_or_default();
        let ended = supervisor
            .try_wait()
            .map_err(StackError::io("watch", "the supervisor"))?;
        if let Some(status) = ended {
            let words = said.trim().trim_start_matches("error: ");
            return Err(match status.code() {
                Some(130) => StackError::Cancelled,
                Some(code) if !words.is_empty() => StackError::Supervisor {
                    code: u8::try_from(code).unwrap_or(3),
                    words: last_error(words),
                },
                _ => StackError::NotUp(format!("the stack's supervisor ended ({status})")),
            });
        }
        if let Some(line) = said.lines().next_back() {
            progress.update(step, line.trim_start_matches(['✓', '·', ' ']));
        }
        tokio::select! {
            () = cancel.cancelled() => {
                let _ = kill(child::pid(supervisor.id()), Signal::SIGTERM);
                let _ = supervisor.wait();
                return Err(StackError::Cancelled);
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}

/// What the supervisor said last that was an error; with all that follows it.
fn last_error(log: &str) -> String {
    let at = log.rfind("error: ").map_or(0, |at| at + "error: ".len());
    log[at..].trim().to_owned()
}
