//! Docker's Compose plugin: whether it is installed, and the projects of our stacks.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::StackError;
use crate::files::on_path;

pub(crate) fn missing() -> StackError {
    StackError::MissingPrerequisite {
        what: "Docker (docker)".to_owned(),
        advice:
            "install Docker Engine with its Compose plugin, or use --stack local, which needs none"
                .to_owned(),
    }
}

/// Checks that Docker and its Compose plugin are installed. Returns the plugin's version and the path of `docker`.
pub(crate) fn check() -> Result<(String, PathBuf), StackError> {
    let path = on_path("docker").ok_or_else(missing)?;
    let asked = Command::new(&path)
        .args(["compose", "version", "--short"])
        .output();
    match asked {
        Ok(output) if output.status.success() => Ok((
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            path,
        )),
        _ => Err(StackError::MissingPrerequisite {
            what: format!("Docker's Compose plugin ({} compose)", path.display()),
            advice: "on Debian, from Docker's packages: apt-get install docker-compose-plugin; or use --stack local, which needs none".to_owned(),
        }),
    }
}

/// Name of the compose file in an instance's folder. A folder with this file belongs to a Compose project.
pub(crate) const FILE_NAME: &str = "docker-compose.yml";

/// The containers of one stack; removed when dropped.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) name: String,
    pub(crate) is_down: bool,
}

impl Project {
    pub(crate) fn down(&mut self) -> Result<(), StackError> {
        self.is_down = true;
        down(&self.name)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if !self.is_down
            && let Err(error) = self.down()
        {
            tracing::warn!(
                %error,
                "containers are left; \"docker compose --project-name {} down --volumes\" removes them",
                self.name
            );
        }
    }
}

/// Removes the containers of a run that was killed; true when the folder can be removed. The folder of a local stack
/// has no containers.
pub(crate) fn sweep(folder: &Path) -> bool {
    if !folder.join(FILE_NAME).exists() {
        return true;
    }
    let name = project_of(folder);
    down(&name)
        .inspect_err(|error| {
            tracing::warn!(%error, "the containers of a run that was killed, project {name}, are left");
        })
        .is_ok()
}

/// The project's name, made of the name of its folder.
pub(crate) fn project_of(folder: &Path) -> String {
    let id = folder.file_name().unwrap_or_default();
    format!("cdc-bench-{}", id.to_string_lossy())
}

pub(crate) fn docker(project: &str) -> Command {
    let mut command = Command::new("docker");
    command.args(["compose", "--project-name", project]);
    command
}

fn down(project: &str) -> Result<(), StackError> {
    let failed = |reason: String| StackError::Compose(format!("removing {project}: {reason}"));
    let output = docker(project)
        .args(["down", "--volumes", "--remove-orphans", "--timeout", "2"])
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(
        said.trim()
            .lines()
            .next_back()
            .unwrap_or_default()
            .to_owned(),
    ))
}
