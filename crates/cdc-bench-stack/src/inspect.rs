//! What a stack of ours is made of, as it is found on this machine.

use std::path::PathBuf;
use std::process::Command;

use super::artifacts::{self, APT, DEBEZIUM, StoreProgram, version};
use super::cache::Cache;
use super::java::Java;
use super::{KeptStack, StackError, StackKind, compose};

/// How one part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It can be used.
    Good,
    /// It is not there yet, and is fetched or made when it is needed.
    Later,
    /// It is missing or refuses, and something has to be done.
    Bad,
}

/// One part of what a command stands on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Part {
    /// Which.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// What it resolved to: version, and where from.
    pub found: String,
    /// What to type, where something is to be done.
    pub advice: Option<String>,
}

impl Part {
    /// A part that can be used.
    pub fn good(name: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            standing: Standing::Good,
            found: found.into(),
            advice: None,
        }
    }

    /// A part that cannot.
    pub fn bad(name: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            standing: Standing::Bad,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn later(name: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            standing: Standing::Later,
            found: found.into(),
            advice: None,
        }
    }
}

/// Looks at programs, cache and the stack that is kept.
pub async fn inspect(kind: StackKind) -> Vec<Part> {
    let local = kind != StackKind::Compose;
    let mut parts = vec![if local { java().await } else { docker() }];
    let cache = Cache::open();
    let mut at_hand = cache
        .as_ref()
        .map(artifacts::inspect_all)
        .unwrap_or_default();
    // In containers, Debezium's jars are all that is ours to fetch.
    at_hand.retain(|set| local || set.name == DEBEZIUM);
    let fetched = at_hand.iter().all(|set| set.wrong.is_empty());
    parts.push(program(
        "Maven",
        "mvn",
        &["-v"],
        fetched && !at_hand.is_empty(),
        if local {
            "fetches PostgreSQL, Kafka and Debezium"
        } else {
            "fetches Debezium"
        },
    ));
    let cache = match cache {
        Ok(cache) => cache,
        Err(error) => {
            parts.push(Part::bad(
                "cache",
                error.to_string(),
                "set CDC_BENCH_CACHE_DIR to a folder that can be written to",
            ));
            return parts;
        }
    };
    parts.push(Part::good("cache", cache.path("").display().to_string()));
    for set in at_hand {
        let name = format!("{} {}", set.name, set.version);
        parts.push(if set.wrong.is_empty() {
            Part::good(
                &name,
                match set.files {
                    1 => format!("1 file checked, {}", set.folder.display()),
                    files => format!("{files} files checked, {}", set.folder.display()),
                },
            )
        } else if set.folder.exists() {
            Part::later(
                &name,
                format!("{}; fetched again by the next start", set.wrong.join(", ")),
            )
        } else {
            Part::later(
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
        Some(kept) => Part::good("kept stack", format!("up since {}", kept.since())),
        None => Part::later(
            "kept stack",
            "none: each run starts its own; \"cdc-bench stack up\" keeps one",
        ),
    });
    parts
}

fn docker() -> Part {
    let name = "Docker";
    match compose::check() {
        Ok((version, path)) => Part::good(name, format!("Compose {version}, {}", path.display())),
        Err(StackError::MissingPrerequisite { what, advice }) => {
            Part::bad(name, format!("{what} is missing"), advice)
        }
        Err(error) => Part::bad(name, error.to_string(), "see docker's own log"),
    }
}

async fn java() -> Part {
    match Java::require(&tokio_util::sync::CancellationToken::new()).await {
        Ok(java) => Part::good("Java", format!("{}, {}", java.major, java.path.display())),
        Err(StackError::MissingPrerequisite { what, advice }) => {
            Part::bad("Java", format!("{what} is missing"), advice)
        }
        Err(error) => Part::bad("Java", error.to_string(), APT),
    }
}

/// A program on PATH, with the first line it says of itself. One that has done its work already may be missing.
fn program(name: &str, command: &str, args: &[&str], done: bool, purpose: &str) -> Part {
    let Some(path) = artifacts::on_path(command) else {
        return if done {
            Part::later(
                name,
                format!("not there, and not needed: it {purpose}, which is done"),
            )
        } else {
            Part::bad(name, format!("{command} is missing; it {purpose}"), APT)
        };
    };
    let said = Command::new(&path).args(args).output().ok();
    let text = said
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    Part::good(
        name,
        format!("{}, {}", console::strip_ansi_codes(line), path.display()),
    )
}

fn store(cache: &Cache) -> Part {
    match artifacts::store_at_hand(cache) {
        Some(StoreProgram::Mongod(path)) => {
            Part::good("store", format!("mongod, {}", path.display()))
        }
        Some(StoreProgram::Secantus(path)) => Part::good(
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
                Standing::Bad => python,
                Standing::Good | Standing::Later => Part::later(
                    "store",
                    format!("SecantusDB {}, not installed yet", version::secantusdb()),
                ),
            }
        }
    }
}

/// One set of artifacts.
#[derive(Debug)]
pub(super) struct SetState {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) folder: PathBuf,
    pub(super) files: usize,
    pub(super) wrong: Vec<String>,
}
