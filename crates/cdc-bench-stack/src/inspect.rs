//! The components of a local or Compose stack, as found on this machine (`doctor`).

use std::process::Command;

use crate::artifacts::{self, APT, DEBEZIUM, StoreProgram, version};
use crate::cache::Cache;
use crate::docker;
use crate::error::StackError;
use crate::files::on_path;
use crate::kept::KeptStack;
use crate::kind::StackKind;
use crate::servers::Java;

/// State of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    /// It can be used.
    Good,
    /// Not there yet; fetched or made when it is needed.
    Later,
    /// Missing or unusable; the user has to act.
    Bad,
}

/// Something that a command needs: a program, a server, a set of files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Component {
    /// Which.
    pub name: String,
    /// Its state.
    pub standing: ComponentState,
    /// What was found: version and origin.
    pub found: String,
    /// What the user can do, if anything.
    pub advice: Option<String>,
}

impl Component {
    /// A part that can be used.
    pub fn good(name: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            standing: ComponentState::Good,
            found: found.into(),
            advice: None,
        }
    }

    /// A part that cannot.
    pub fn bad(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            standing: ComponentState::Bad,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn later(name: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            standing: ComponentState::Later,
            found: found.into(),
            advice: None,
        }
    }
}

/// Checks the programs, the cache and the kept stack.
pub async fn inspect(kind: StackKind) -> Vec<Component> {
    let local = kind != StackKind::Compose;
    let mut parts = vec![if local {
        java().await
    } else {
        compose_plugin()
    }];
    let cache = Cache::open();
    let mut sets = cache
        .as_ref()
        .map(artifacts::inspect_all)
        .unwrap_or_default();
    // In containers, Debezium's jars are all that is ours to fetch.
    sets.retain(|set| local || set.name == DEBEZIUM);
    let fetched = sets.iter().all(|set| set.problems.is_empty());
    parts.push(program(
        "Maven",
        "mvn",
        &["-v"],
        fetched && !sets.is_empty(),
        if local {
            "fetches PostgreSQL, Kafka and Debezium"
        } else {
            "fetches Debezium"
        },
    ));
    let cache = match cache {
        Ok(cache) => cache,
        Err(error) => {
            parts.push(Component::bad(
                "cache",
                error.to_string(),
                "set CDC_BENCH_CACHE_DIR to a folder that can be written to",
            ));
            return parts;
        }
    };
    parts.push(Component::good(
        "cache",
        cache.path("").display().to_string(),
    ));
    for set in sets {
        let name = format!("{} {}", set.name, set.version);
        parts.push(if set.problems.is_empty() {
            Component::good(
                &name,
                match set.files {
                    1 => format!("1 file checked, {}", set.folder.display()),
                    files => format!("{files} files checked, {}", set.folder.display()),
                },
            )
        } else if set.folder.exists() {
            Component::later(
                &name,
                format!(
                    "{}; fetched again by the next start",
                    set.problems.join(", ")
                ),
            )
        } else {
            Component::later(
                &name,
                "not fetched yet; \"cdc-bench stack fetch\" does it now",
            )
        });
    }
    if !local {
        return parts;
    }
    parts.push(store(&cache));
    parts.push(match KeptStack::find(&cache) {
        Some(kept) => Component::good("kept stack", format!("up since {}", kept.since())),
        None => Component::later(
            "kept stack",
            "none: each run starts its own; \"cdc-bench stack up\" keeps one",
        ),
    });
    parts
}

fn compose_plugin() -> Component {
    let name = "Docker";
    match docker::check() {
        Ok((version, path)) => {
            Component::good(name, format!("Compose {version}, {}", path.display()))
        }
        Err(StackError::MissingPrerequisite { what, advice }) => {
            Component::bad(name, format!("{what} is missing"), advice)
        }
        Err(error) => Component::bad(name, error.to_string(), "see docker's own log"),
    }
}

async fn java() -> Component {
    match Java::require(&tokio_util::sync::CancellationToken::new()).await {
        Ok(java) => Component::good("Java", format!("{}, {}", java.major, java.path.display())),
        Err(StackError::MissingPrerequisite { what, advice }) => {
            Component::bad("Java", format!("{what} is missing"), advice)
        }
        Err(error) => Component::bad("Java", error.to_string(), APT),
    }
}

/// A program on PATH, with the first line of its version output. If its work is already done, it may be missing.
fn program(name: &str, command: &str, args: &[&str], done: bool, purpose: &str) -> Component {
    let Some(path) = on_path(command) else {
        return if done {
            Component::later(
                name,
                format!("not there, and not needed: it {purpose}, which is done"),
            )
        } else {
            Component::bad(name, format!("{command} is missing; it {purpose}"), APT)
        };
    };
    let output = Command::new(&path).args(args).output().ok();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    Component::good(
        name,
        format!("{}, {}", console::strip_ansi_codes(line), path.display()),
    )
}

fn store(cache: &Cache) -> Component {
    match artifacts::installed_store(cache) {
        Some(StoreProgram::Mongod(path)) => {
            Component::good("store", format!("mongod, {}", path.display()))
        }
        Some(StoreProgram::Secantus(path)) => Component::good(
            "store",
            format!(
                "SecantusDB {} (no mongod on PATH), {}",
                version::secantusdb(),
                path.display()
            ),
        ),
        None => {
            let python = program(
                "store",
                "python3",
                &["--version"],
                false,
                "runs SecantusDB, since there is no mongod on PATH",
            );
            match python.standing {
                ComponentState::Bad => python,
                ComponentState::Good | ComponentState::Later => Component::later(
                    "store",
                    format!("SecantusDB {}, not installed yet", version::secantusdb()),
                ),
            }
        }
    }
}
