//! The document store: MongoDB's own, or SecantusDB in a venv, made by `pip` from pinned requirements.

use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{APT, REQUIREMENTS, on_path, remove, version};
use crate::stack::StackError;
use crate::stack::cache::Cache;
use crate::stack::client::{Voice, watch};

/// The document store's program.
#[derive(Debug, Clone)]
pub(in crate::stack) enum StoreProgram {
    /// MongoDB's own, found on PATH.
    Mongod(PathBuf),
    /// SecantusDB's, in a venv of its own.
    Secantus(PathBuf),
}

/// SecantusDB's program in its venv.
const SECANTUS: &str = "bin/secantusd-py";
/// Made last in a venv.
const WHOLE: &str = ".whole";

/// Named by its content: another list of requirements is another venv.
fn venv_of(cache: &Cache) -> PathBuf {
    let tag: String = Sha256::digest(REQUIREMENTS)
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    cache.path(&format!("secantusdb-{}-{tag}", version::secantusdb()))
}

/// A `mongod` on PATH, or a venv that is whole.
pub(in crate::stack) fn store_at_hand(cache: &Cache) -> Option<StoreProgram> {
    if let Some(mongod) = on_path("mongod") {
        return Some(StoreProgram::Mongod(mongod));
    }
    let venv = venv_of(cache);
    let program = venv.join(SECANTUS);
    (venv.join(WHOLE).exists() && program.exists()).then_some(StoreProgram::Secantus(program))
}

/// A `mongod` on PATH; else SecantusDB in a venv.
pub(super) fn provide_store(
    cache: &Cache,
    tell: &dyn Fn(&str),
    stop: &CancellationToken,
) -> Result<StoreProgram, StackError> {
    if let Some(store) = store_at_hand(cache) {
        return Ok(store);
    }
    let venv = venv_of(cache);
    let program = venv.join(SECANTUS);
    tell("document store: SecantusDB");
    remove(&venv)?;
    let missing = || StackError::MissingPrerequisite {
        what: "Python 3.11 or later with venv".to_owned(),
        advice: APT.to_owned(),
    };
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    if !watch(make, Voice::Stdout, missing, stop, |_| {})? {
        remove(&venv)?;
        return Err(missing());
    }
    let list = cache.path("requirements.txt");
    std::fs::write(&list, REQUIREMENTS).map_err(StackError::io("write", &list))?;
    let mut install = Command::new(venv.join("bin/python"));
    install
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--require-hashes",
            "--only-binary=:all:",
            "-r",
        ])
        .arg(&list);
    let mut last = String::new();
    let installed = watch(install, Voice::Stdout, missing, stop, |line| {
        if let Some(package) = line.strip_prefix("Collecting ") {
            tell(&format!(
                "document store: {}",
                package.split_whitespace().next().unwrap_or(package)
            ));
        }
        line.clone_into(&mut last);
    })?;
    if !installed {
        remove(&venv)?;
        return Err(StackError::Artifact {
            artifact: "pip".to_owned(),
            reason: format!("could not install SecantusDB: {last}"),
        });
    }
    let whole = venv.join(WHOLE);
    std::fs::write(&whole, "").map_err(StackError::io("write", &whole))?;
    Ok(StoreProgram::Secantus(program))
}
