//! A stack in containers: `docker-compose.yml`, started by the user's `docker compose` as a separate project on free
//! loopback ports, and removed after the run.

use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::artifacts;
use crate::background::{ProgressReporter, in_background};
use crate::cache::Cache;
use crate::docker::{self, FILE_NAME, Project, docker, project_of};
use crate::endpoints::{Endpoints, HostPort};
use crate::error::StackError;
use crate::files::write_private;
use crate::instance::Instance;
use crate::processes::{OutputStream, watch};
use crate::progress::StepProgress;
use crate::servers::{self, Ports, READY_LIMIT, endpoints, password};

const FILE: &str = include_str!("../../../docker-compose.yml");
const STEP: &str = "containers";
/// Lines at the end of docker's output that an error quotes.
const TAIL_LINES: usize = 5;

/// A running Compose project.
#[derive(Debug)]
pub(crate) struct ComposeStack {
    pub(crate) endpoints: Endpoints,
    project: Project,
    /// Last field: the folder is removed on drop, after the containers.
    instance: Instance,
}

impl ComposeStack {
    /// Fetches Debezium's jars if they are missing, and starts the containers.
    pub(crate) async fn start(
        cache: &Cache,
        progress: &dyn StepProgress,
        cancel: &CancellationToken,
    ) -> Result<Self, StackError> {
        docker::check()?;
        let plugins = artifacts::provide_debezium(cache, progress, cancel).await?;
        let instance = Instance::fresh(cache)?;
        let file = instance.folder().join(FILE_NAME);
        write_private(&file, FILE.as_bytes())?;
        let ports = Ports::free()?;
        let (postgres_password, store_password) = (password(), password());
        let mut endpoints = endpoints(&ports, &postgres_password, &store_password);
        endpoints.postgres_for_connect = Some(HostPort {
            host: "postgres".to_owned(),
            port: 5432,
        });
        let project = Project {
            name: project_of(instance.folder()),
            is_down: false,
        };
        progress.begin(STEP);
        let mut up = docker(&project.name);
        up.arg("--file").arg(&file);
        up.args(["up", "--detach", "--wait", "--quiet-pull"]);
        up.env("POSTGRES_PORT", ports.postgres.to_string())
            .env("KAFKA_PORT", ports.first_broker().to_string())
            .env("CONNECT_PORT", ports.first_connect().to_string())
            .env("MONGODB_PORT", ports.store.to_string())
            .env("POSTGRES_PASSWORD", &postgres_password)
            .env("MONGODB_PASSWORD", &store_password)
            .env("DEBEZIUM_PLUGINS", plugins);
        run(up, progress, cancel).await?;
        until_ready(&endpoints, progress, cancel).await?;
        progress.end(STEP, &format!("project {}", project.name));
        Ok(Self {
            endpoints,
            project,
            instance,
        })
    }

    /// Removes the containers and their volumes.
    pub(crate) fn stop(self) -> Result<(), StackError> {
        let Self {
            mut project,
            instance,
            ..
        } = self;
        project.down()?;
        drop(instance);
        Ok(())
    }
}

async fn run(
    command: Command,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<(), StackError> {
    let stop = cancel.clone();
    let work = move |reporter: &ProgressReporter| {
        let mut output = Vec::new();
        let done = watch(
            command,
            OutputStream::Stderr,
            docker::missing,
            &stop,
            |line| {
                let line = line.trim();
                if !line.is_empty() {
                    output.push(line.to_owned());
                    reporter.detail(line);
                }
            },
        )?;
        if done {
            return Ok(());
        }
        let tail = &output[output.len().saturating_sub(TAIL_LINES)..];
        Err(StackError::Compose(tail.join("; ")))
    };
    in_background(progress, STEP, work).await
}

/// Waits until each server answers its own protocol. Docker's health checks run inside the containers and do not cover
/// that.
async fn until_ready(
    endpoints: &Endpoints,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<(), StackError> {
    let began = Instant::now();
    loop {
        let answers = tokio::select! {
            () = cancel.cancelled() => return Err(StackError::Cancelled),
            answers = servers::answers(endpoints, Duration::from_secs(10)) => answers,
        };
        let silent = answers
            .into_iter()
            .find_map(|(name, answer)| Some((name, answer.err()?)));
        let Some((name, reason)) = silent else {
            return Ok(());
        };
        progress.update(STEP, &format!("waiting for {name}"));
        if began.elapsed() > READY_LIMIT {
            return Err(StackError::Compose(format!(
                "{name} was not ready within {} s: {reason}",
                READY_LIMIT.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_yaml_ng::Value;

    use super::*;
    use crate::artifacts::version;

    fn file() -> Value {
        serde_yaml_ng::from_str(FILE).unwrap()
    }

    #[test]
    fn its_images_are_of_the_versions_that_a_local_stack_has() {
        let file = file();
        let image = |service: &str| {
            file["services"][service]["image"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(image("kafka"), format!("apache/kafka:{}", version::kafka()));
        assert_eq!(image("connect"), image("kafka"));
        // The artifact counts packagings of a release in a third number.
        let postgres = version::postgres().rsplit_once('.').unwrap().0;
        assert_eq!(image("postgres"), format!("postgres:{postgres}"));
        let (_, store) = file["services"]["store"]["image"]
            .as_str()
            .and_then(|image| image.split_once(':'))
            .unwrap();
        assert_eq!(store.split('.').count(), 3, "pinned to a patch release");
    }

    #[test]
    fn its_servers_have_the_settings_that_a_local_stack_has() {
        let file = file();
        let postgres: Vec<_> = file["services"]["postgres"]["command"]
            .as_sequence()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        for (name, value) in servers::postgres::SETTINGS {
            let setting = format!("{name}={value}");
            assert!(postgres.contains(&&*setting), "{setting}");
        }
        for (name, value) in servers::kafka::SETTINGS {
            let variable = format!("KAFKA_{}", name.to_uppercase().replace('.', "_"));
            let set = &file["services"]["kafka"]["environment"][&*variable];
            assert_eq!(set.as_str(), Some(value), "{variable}");
        }
        let connect = file["configs"]["connect"]["content"].as_str().unwrap();
        for (name, value) in servers::connect::SETTINGS {
            let setting = format!("{name}={value}");
            assert!(connect.lines().any(|line| line == setting), "{setting}");
        }
    }

    #[test]
    fn its_ports_are_published_on_loopback_alone() {
        let file = file();
        for (name, service) in file["services"].as_mapping().unwrap() {
            let ports = service["ports"].as_sequence().unwrap();
            assert!(
                ports
                    .iter()
                    .all(|port| port.as_str().unwrap().starts_with("127.0.0.1:")),
                "{name:?}"
            );
        }
    }
}
