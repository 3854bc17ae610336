//! The answers of Connect's REST interface.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// A connector and its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConnectorStatus {
    connector: TaskState,
    tasks: Vec<TaskState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct TaskState {
    state: String,
    #[serde(default)]
    trace: Option<String>,
    /// Host and port that its worker advertises.
    #[serde(default)]
    worker_id: Option<String>,
}

impl ConnectorStatus {
    /// The connector and all of its tasks run, and there is a task.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.connector.state == "RUNNING"
            && !self.tasks.is_empty()
            && self.tasks.iter().all(|task| task.state == "RUNNING")
    }

    /// The worker that runs its first task: the host and port that it advertises.
    #[must_use]
    pub fn worker(&self) -> Option<&str> {
        self.tasks.first()?.worker_id.as_deref()
    }

    /// The connector or a task has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.all().any(|state| state.state == "FAILED")
    }

    /// Why, in the first lines of the trace that say something.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let trace = self
            .all()
            .find(|state| state.state == "FAILED")?
            .trace
            .as_deref()
            .unwrap_or("no reason given");
        // The exception and its causes; the frames in between are for Debezium's authors.
        let lines: Vec<_> = trace
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("at ") && !line.starts_with("..."))
            .take(4)
            .collect();
        Some(lines.join("; "))
    }

    /// Replaces the trace of each failure.
    pub(super) fn change_traces(&mut self, change: impl Fn(&str) -> String) {
        for state in std::iter::once(&mut self.connector).chain(&mut self.tasks) {
            state.trace = state.trace.as_deref().map(&change);
        }
    }

    /// Why it does not capture, if it is paused, stopped or has failed.
    pub(crate) fn idle(&self) -> Option<String> {
        let is_idle = |state: &&TaskState| matches!(&*state.state, "PAUSED" | "STOPPED");
        match self.failure() {
            Some(reason) => Some(format!("FAILED: {reason}")),
            None => self.all().find(is_idle).map(|state| state.state.clone()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &TaskState> {
        std::iter::once(&self.connector).chain(&self.tasks)
    }

    /// Its state and those of its tasks, in Connect's words.
    #[must_use]
    pub fn describe(&self) -> String {
        let tasks: Vec<_> = self.tasks.iter().map(|task| task.state.as_str()).collect();
        format!("{} with tasks [{}]", self.connector.state, tasks.join(", "))
    }
}

#[derive(Deserialize)]
pub(super) struct ConnectInfo {
    pub(super) version: String,
}

#[derive(Deserialize)]
pub(super) struct InstalledPlugin {
    pub(super) class: String,
    #[serde(default)]
    pub(super) version: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ExpandedConnector {
    pub(super) info: ConnectorInfo,
    #[serde(default)]
    pub(super) status: Option<ConnectorStatus>,
}

#[derive(Deserialize)]
pub(super) struct ConnectorInfo {
    pub(super) config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Offsets {
    pub(super) offsets: Vec<OffsetEntry>,
}

#[derive(Deserialize)]
pub(super) struct OffsetEntry {
    pub(super) offset: serde_json::Map<String, serde_json::Value>,
}

/// What a plugin says of a configuration.
#[derive(Deserialize)]
pub(super) struct Validation {
    configs: Vec<ValidatedSetting>,
}

#[derive(Deserialize)]
struct ValidatedSetting {
    /// `null` of a setting that no plugin defines.
    definition: Option<SettingDefinition>,
    #[serde(default)]
    value: SettingVerdict,
}

#[derive(Default, Deserialize)]
struct SettingVerdict {
    #[serde(default)]
    name: String,
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct SettingDefinition {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Validation {
    /// Names of the settings that are passwords.
    pub(super) fn passwords(self) -> BTreeSet<String> {
        self.configs
            .into_iter()
            .filter_map(|setting| setting.definition)
            .filter(|definition| definition.kind == "PASSWORD")
            .map(|definition| definition.name)
            .collect()
    }

    /// What is wrong with a setting; `None` where Connect does not know it.
    pub(super) fn errors_of(self, name: &str) -> Option<Vec<String>> {
        let mut configs = self.configs.into_iter();
        let found = configs.find(|setting| setting.value.name == name)?;
        Some(found.value.errors)
    }
}

/// The body of every refusal of Connect's own.
#[derive(Deserialize)]
pub(super) struct ConnectRefusal {
    #[serde(rename = "error_code")]
    pub(super) _code: u32,
    pub(super) message: String,
}
