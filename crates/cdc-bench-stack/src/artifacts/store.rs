//! The document store: MongoDB's own, or SecantusDB in a venv, made by `pip` from pinned requirements.

use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::download::Downloads;
use super::manifest::{APT, REQUIREMENTS, version};
use super::maven::size_of;
use crate::cache::Cache;
use crate::error::StackError;
use crate::files::{on_path, remove};
use crate::processes::{OutputStream, watch};

/// The document store's program.
#[derive(Debug, Clone)]
pub(crate) enum StoreProgram {
    /// MongoDB's own, found on PATH.
    Mongod(PathBuf),
    /// SecantusDB's, in its own venv.
    Secantus(PathBuf),
}

/// SecantusDB's program in its venv.
const SECANTUS: &str = "bin/secantusd-py";
/// Name of its part of the download.
const PART: &str = "document store";
/// Approximate size of its packages in bytes; depends on the platform and the Python version.
const LIKELY_BYTES: u64 = 25_000_000;
/// Marker file, created last in a complete venv.
const COMPLETE: &str = ".whole";

/// The venv's folder, named by a hash of the requirements, so that changed requirements get a new venv.
fn venv_of(cache: &Cache) -> PathBuf {
    let tag: String = Sha256::digest(REQUIREMENTS)
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    cache.path(&format!("secantusdb-{}-{tag}", version::secantusdb()))
}

/// The installed store: a `mongod` on PATH, else a complete venv of SecantusDB.
pub(crate) fn installed_store(cache: &Cache) -> Option<StoreProgram> {
    if let Some(mongod) = on_path("mongod") {
        return Some(StoreProgram::Mongod(mongod));
    }
    let venv = venv_of(cache);
    let program = venv.join(SECANTUS);
    (venv.join(COMPLETE).exists() && program.exists()).then_some(StoreProgram::Secantus(program))
}

/// The installed store, else SecantusDB freshly installed in a venv.
pub(crate) fn provide_store(
    cache: &Cache,
    downloads: &Downloads<'_>,
    stop: &CancellationToken,
) -> Result<StoreProgram, StackError> {
    if let Some(store) = installed_store(cache) {
        return Ok(store);
    }
    let venv = venv_of(cache);
    let program = venv.join(SECANTUS);
    downloads.expect(PART, LIKELY_BYTES);
    remove(&venv)?;
    let missing = || StackError::MissingPrerequisite {
        what: "Python 3.11 or later with venv".to_owned(),
        advice: APT.to_owned(),
    };
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    if !watch(make, OutputStream::Stdout, missing, stop, |_| {})? {
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
            // Python compiles what is used, when it is.
            "--no-compile",
            "--require-hashes",
            "--only-binary=:all:",
            "-r",
        ])
        .arg(&list);
    let mut last = String::new();
    let mut fetched = 0;
    let installed = watch(install, OutputStream::Stdout, missing, stop, |line| {
        if let Some(bytes) = fetched_bytes(line) {
            fetched += bytes;
            downloads.reached(PART, fetched);
        } else if line.starts_with("Installing collected packages") {
            downloads.whole(PART);
            downloads.detail("installing the document store");
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
    let complete = venv.join(COMPLETE);
    std::fs::write(&complete, "").map_err(StackError::io("write", &complete))?;
    Ok(StoreProgram::Secantus(program))
}

/// The size of a package that pip has fetched, read from its completed progress bar: "━━━━ 16.9/16.9 MB 43.2 MB/s eta
/// 0:00:00".
fn fetched_bytes(line: &str) -> Option<u64> {
    let (_, figures) = line.rsplit_once('━')?;
    let (figures, _) = figures.trim_start().split_once("B ")?;
    let (fetched, of) = figures.split_once('/')?;
    let is_whole = of.split(' ').next() == Some(fetched);
    is_whole.then(|| size_of(&format!("{of}B")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_says_what_it_has_fetched() {
        let bar = "     ━━━━━━━━━━━━━ 16.9/16.9 MB 43.2 MB/s eta 0:00:00";
        assert_eq!(fetched_bytes(bar), Some(16_900_000));
        let colours = "   ━━━━━━━━ 360.5/360.5 kB 5.6 MB/s 0:00:00";
        assert_eq!(fetched_bytes(colours), Some(360_500));
        let half = "     ━━━━━━ 1/16.9 MB 43.2 MB/s eta 0:00:01";
        assert_eq!(fetched_bytes(half), None);
        assert_eq!(fetched_bytes("Collecting numpy==2.4.6"), None);
        assert_eq!(
            fetched_bytes("  Downloading numpy-2.4.6.whl (16.9 MB)"),
            None
        );
    }
}
