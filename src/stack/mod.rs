//! Where the servers come from: the user's own (`external`), or ours, started and stopped with the run (`local`).

mod artifacts;
mod cache;
mod child;
mod error;
mod local;
mod servers;

use std::fmt;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::config::{Endpoints, Settings};
use cache::Cache;
use local::LocalStack;

pub use error::StackError;

/// Hears of steps that take a while.
pub trait Progress: Send + Sync {
    /// A step begins.
    fn begin(&self, step: &str);
    /// It goes on.
    fn update(&self, step: &str, detail: &str);
    /// It is done.
    fn end(&self, step: &str, detail: &str);
}

/// Where the servers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StackKind {
    /// Started by us, stopped with the run
    Local,
    /// The user's own
    External,
}

impl fmt::Display for StackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::External => "external",
        })
    }
}

/// The servers of a run.
#[derive(Debug)]
pub struct Stack {
    endpoints: Endpoints,
    local: Option<LocalStack>,
}

impl Stack {
    /// Brings them up, or takes the user's.
    ///
    /// # Errors
    /// When one is not to be had. What was started is stopped.
    pub async fn bring_up(
        settings: &Settings,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<Self, StackError> {
        if let Some(endpoints) = &settings.endpoints {
            return Ok(Self {
                endpoints: endpoints.clone(),
                local: None,
            });
        }
        let cache = Cache::open()?;
        let local = LocalStack::start(&cache, progress, cancel).await?;
        Ok(Self {
            endpoints: local.endpoints.clone(),
            local: Some(local),
        })
    }

    /// Which kind they are.
    #[must_use]
    pub fn kind(&self) -> StackKind {
        if self.local.is_some() {
            StackKind::Local
        } else {
            StackKind::External
        }
    }

    /// Where they are.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Whether nobody else uses them, and all that is on them goes away with them.
    #[must_use]
    pub fn exclusive(&self) -> bool {
        self.local.is_some()
    }

    /// Kafka's version, where we chose it.
    #[must_use]
    pub fn kafka_version(&self) -> Option<&'static str> {
        self.local.as_ref().map(|_| artifacts::version::kafka())
    }

    /// The servers' logs, where they are ours.
    #[must_use]
    pub fn log_dir(&self) -> Option<&Path> {
        self.local.as_ref().map(|local| local.folder.as_path())
    }

    /// A server of ours that has ended by itself, with the end of its log.
    pub fn dead_server(&mut self) -> Option<String> {
        self.local.as_mut()?.dead_server()
    }

    /// Stops what was started.
    pub fn stop(self, progress: &dyn Progress) {
        if let Some(local) = self.local {
            progress.begin("stopping servers");
            local.stop();
            progress.end("stopping servers", "nothing is left running");
        }
    }
}
