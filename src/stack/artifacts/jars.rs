//! Jars: fetched by `mvn`, held against their sums.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{APT, PLUGINS, SUMS, remove};
use crate::stack::StackError;
use crate::stack::cache::Cache;
use crate::stack::client::{Voice, watch};

/// Pinned as the artifacts are: what another version copies may differ.
const COPY_GOAL: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// The platform's name in PostgreSQL's artifact.
fn platform() -> Result<&'static str, StackError> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-amd64"),
        ("linux", "aarch64") => Ok("linux-arm64v8"),
        ("macos", "x86_64") => Ok("darwin-amd64"),
        ("macos", "aarch64") => Ok("darwin-arm64v8"),
        (os, arch) => Err(StackError::MissingPrerequisite {
            what: format!("a PostgreSQL build for {os} on {arch}"),
            advice: "use --stack external or --stack compose".to_owned(),
        }),
    }
}

/// The sums of one set: file name -> SHA-256 in hexadecimal.
pub(super) fn sums(set: &str) -> Result<BTreeMap<&'static str, &'static str>, StackError> {
    let platform = platform()?;
    let mine = |file: &str| set != "postgres" || file.contains(&format!("-{platform}-"));
    let entry = |line: &'static str| {
        let (sum, path) = line.split_once("  ")?;
        let (of, file) = path.split_once('/')?;
        (of == set && mine(file)).then_some((file, sum))
    };
    Ok(SUMS.lines().filter_map(entry).collect())
}

/// What is wrong with a folder of jars; nothing when it holds exactly what it must.
pub(super) fn inspect(folder: &Path, sums: &BTreeMap<&str, &str>) -> Vec<String> {
    let present: BTreeSet<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| file.file_name().into_string().ok())
        .collect();
    let mut wrong = Vec::new();
    for (file, sum) in sums {
        if !present.contains(*file) {
            wrong.push(format!("{file} is missing"));
        } else if sha256(&folder.join(file)).as_deref() != Some(sum) {
            wrong.push(format!("{file} does not match its SHA-256"));
        }
    }
    // Java would load a stranger too.
    wrong.extend(
        present
            .iter()
            .filter(|file| !sums.contains_key(file.as_str()))
            .map(|file| format!("{file} does not belong there")),
    );
    wrong
}

fn sha256(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Some(
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

/// Where a set lies: Connect isolates plugins by folder, so Debezium's jars have one within the plugin path.
pub(super) fn folder_of(cache: &Cache, set: &str) -> PathBuf {
    cache.path(&if set == "debezium" {
        format!("{PLUGINS}/{set}")
    } else {
        format!("artifacts/{set}")
    })
}

/// True when something had to be fetched.
pub(super) fn provide_set(
    cache: &Cache,
    set: &str,
    pom: &str,
    tell: &dyn Fn(&str),
    stop: &CancellationToken,
) -> Result<bool, StackError> {
    let sums = sums(set)?;
    let folder = folder_of(cache, set);
    let existed = folder.exists();
    let wrong = inspect(&folder, &sums);
    if wrong.is_empty() {
        return Ok(false);
    }
    if existed {
        tracing::warn!(
            "{}: {}; fetching it again",
            folder.display(),
            wrong.join(", ")
        );
    }
    tell(&format!("{set}: {} files", sums.len()));
    let fresh = cache.path(&format!("artifacts/.fetch-{set}"));
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh).map_err(StackError::io("make", &fresh))?;
    // Beside the folder, not in it: the folder is to hold its jars and nothing else.
    let pom_path = cache.path(&format!("artifacts/.{set}.xml"));
    std::fs::write(&pom_path, pom).map_err(StackError::io("write", &pom_path))?;
    let fetched = maven(
        &pom_path,
        &fresh,
        |line| tell(&format!("{set}: {line}")),
        stop,
    );
    let context = |error: StackError| match error {
        StackError::Artifact { artifact, reason } if existed => StackError::Artifact {
            artifact,
            reason: format!("{}; and {reason}", wrong.join(", ")),
        },
        StackError::MissingPrerequisite { what, advice } if existed => StackError::Artifact {
            artifact: format!("{set} (cached)"),
            reason: format!(
                "{}; it cannot be fetched again: {what} is missing: {advice}",
                wrong.join(", ")
            ),
        },
        other => other,
    };
    fetched.map_err(context)?;
    let wrong = inspect(&fresh, &sums);
    if !wrong.is_empty() {
        return Err(StackError::Artifact {
            artifact: set.to_owned(),
            reason: format!(
                "what Maven fetched is not what was pinned: {}; check its mirror, and remove the files from its local repository (~/.m2)",
                wrong.join(", ")
            ),
        });
    }
    remove(&folder)?;
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(StackError::io("make", parent))?;
    }
    std::fs::rename(&fresh, &folder).map_err(StackError::io("put in place", &folder))?;
    Ok(true)
}

fn maven(
    pom: &Path,
    output: &Path,
    tell: impl Fn(&str),
    stop: &CancellationToken,
) -> Result<(), StackError> {
    let mut command = Command::new("mvn");
    command.args(["-B", "-C", "-f"]).arg(pom).arg(COPY_GOAL);
    command
        .arg(format!("-DoutputDirectory={}", output.display()))
        .arg(format!("-Dpostgres.platform={}", platform()?));
    let missing = || StackError::MissingPrerequisite {
        what: "Maven (mvn)".to_owned(),
        advice: APT.to_owned(),
    };
    let mut errors = Vec::new();
    let ok = watch(command, Voice::Stdout, missing, stop, |line| {
        // "Downloaded from central: <address>/x.jar (1.2 MB at 3.4 MB/s)"
        if let Some(file) = line
            .strip_prefix("Downloaded from ")
            .and_then(|rest| rest.rsplit('/').nth(1).and(Some(rest)))
        {
            let file = file
                .split(" (")
                .next()
                .and_then(|address| address.rsplit('/').next())
                .unwrap_or(file);
            tell(file);
        } else if let Some(error) = line.strip_prefix("[ERROR] ") {
            errors.push(error.to_owned());
        }
    })?;
    if ok {
        return Ok(());
    }
    errors.truncate(3);
    Err(StackError::Artifact {
        artifact: "mvn".to_owned(),
        reason: format!("could not fetch the servers: {}", errors.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_a_missing_and_a_foreign_file_are_each_named() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.jar", "a");
        write("b.jar", "not b");
        write("x.jar", "");
        let digest = |text: &str| {
            Sha256::digest(text)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        };
        let (a, b) = (digest("a"), digest("b"));
        let sums = BTreeMap::from([
            ("a.jar", a.as_str()),
            ("b.jar", b.as_str()),
            ("c.jar", b.as_str()),
        ]);
        assert_eq!(
            inspect(folder.path(), &sums),
            [
                "b.jar does not match its SHA-256",
                "c.jar is missing",
                "x.jar does not belong there"
            ]
        );
    }
}
