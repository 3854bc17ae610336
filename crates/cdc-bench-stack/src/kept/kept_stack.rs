//! A kept stack that is up, as later commands find it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::record::{ENVIRONMENT, StackRecord};
use crate::cache::Cache;
use crate::endpoints::Endpoints;
use crate::error::StackError;
use crate::instance;
use crate::local::KEPT;
use crate::processes::{ServerProcess, pid, server_of};
use crate::servers::{self, ClusterSize};

/// Lock file, held by the run that uses the stack.
const IN_USE: &str = "in-use.lock";
/// Longest wait for a supervisor to end.
const DOWN_LIMIT: Duration = Duration::from_secs(20);

/// A kept stack that is up.
#[derive(Debug, Clone)]
pub struct KeptStack {
    pub(super) folder: PathBuf,
    pub(super) supervisor: u32,
    pub(super) record: StackRecord,
}

/// Exclusive use of a kept stack by one run; released on drop.
#[derive(Debug)]
pub(crate) struct Claim(#[allow(dead_code)] File);

impl KeptStack {
    /// The running kept stack, if there is one.
    #[must_use]
    pub fn find(cache: &Cache) -> Option<Self> {
        let folder = cache.stacks().join(KEPT);
        let supervisor = instance::owner(&folder)?;
        Some(Self {
            record: StackRecord::read(&folder)?,
            folder,
            supervisor,
        })
    }

    /// Where its servers are.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        self.record.endpoints.clone().into()
    }

    /// Its servers, as read by [`KeptStack::find`].
    #[must_use]
    pub fn servers(&self) -> &[ServerProcess] {
        &self.record.servers
    }

    /// Its servers, read again from the record.
    pub(crate) fn servers_now(&self) -> Vec<ServerProcess> {
        StackRecord::read(&self.folder)
            .map_or_else(|| self.record.servers.clone(), |record| record.servers)
    }

    /// Its brokers and Connect workers.
    pub(crate) fn size(&self) -> ClusterSize {
        let servers = self.record.servers.iter();
        let count = |server: &str| {
            let processes = servers.clone().map(|process| server_of(&process.name));
            processes.filter(|of| *of == server).count()
        };
        ClusterSize {
            brokers: count("kafka"),
            connect_workers: count("connect"),
        }
    }

    /// When it was ready, RFC 3339.
    #[must_use]
    pub fn since(&self) -> &str {
        &self.record.since
    }

    /// Process id of its supervisor.
    #[must_use]
    pub fn supervisor(&self) -> u32 {
        self.supervisor
    }

    /// The server that its supervisor has given up at this time, and why.
    #[must_use]
    pub fn given_up(&self) -> Option<&str> {
        self.record.given_up.as_deref()
    }

    /// The file with its endpoints and passwords, for a shell.
    #[must_use]
    pub fn environment_file(&self) -> PathBuf {
        self.folder.join(ENVIRONMENT)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn kafka_version(&self) -> &str {
        &self.record.kafka_version
    }

    /// Whether a run is using it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.claim().is_none()
    }

    /// Claims it for a run; `None` if another run has claimed it.
    pub(crate) fn claim(&self) -> Option<Claim> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(IN_USE))
            .ok()?;
        file.try_lock().is_ok().then_some(Claim(file))
    }

    /// Whether each of its processes answers, in the pipeline's order; the reason where one does not.
    pub async fn health(&self) -> Vec<(String, Result<(), String>)> {
        let limit = Duration::from_secs(5);
        servers::answers_of(&self.servers_now(), &self.endpoints(), limit).await
    }

    /// Stops it: its supervisor stops the servers and removes their data.
    ///
    /// # Errors
    /// When it is not gone within 20 s.
    pub fn down(&self) -> Result<(), StackError> {
        stop_supervisor(&self.folder, self.supervisor)
    }
}

fn stop_supervisor(folder: &Path, supervisor: u32) -> Result<(), StackError> {
    // The process may have ended already.
    let _ = kill(pid(supervisor), Signal::SIGTERM);
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

/// The supervisor's own log; beside the folder, so that it is not removed with it.
pub(super) fn log_of(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}
