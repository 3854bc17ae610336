//! Sets of jars: fetched by Maven, verified against their SHA-256 sums.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::download::Downloads;
use super::manifest::{PLUGINS, sums};
use super::maven::{MavenProgress, maven};
use crate::cache::Cache;
use crate::error::StackError;
use crate::files::remove;

/// Verifies a folder of jars: the problems, empty if it contains exactly the expected files.
pub(crate) fn inspect(folder: &Path, sums: &BTreeMap<&str, &str>) -> Vec<String> {
    let present: BTreeSet<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| file.file_name().into_string().ok())
        .collect();
    let mut problems = Vec::new();
    for (file, sum) in sums {
        if !present.contains(*file) {
            problems.push(format!("{file} is missing"));
        } else if sha256(&folder.join(file)).as_deref() != Some(sum) {
            problems.push(format!("{file} does not match its SHA-256"));
        }
    }
    // Java would load an unknown jar too.
    problems.extend(
        present
            .iter()
            .filter(|file| !sums.contains_key(file.as_str()))
            .map(|file| format!("{file} does not belong there")),
    );
    problems
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

/// The folder of a set. Connect isolates plugins by folder, so Debezium's jars get a folder within the plugin path.
pub(crate) fn folder_of(cache: &Cache, set: &str) -> PathBuf {
    cache.path(&if set == "debezium" {
        format!("{PLUGINS}/{set}")
    } else {
        format!("artifacts/{set}")
    })
}

/// Verifies a set and fetches it if needed. Returns true if it was fetched.
pub(crate) fn provide_set(
    cache: &Cache,
    set: &'static str,
    pom: &str,
    downloads: &Downloads<'_>,
    stop: &CancellationToken,
) -> Result<bool, StackError> {
    let sums = sums(set)?;
    let folder = folder_of(cache, set);
    let existed = folder.exists();
    let problems = inspect(&folder, &sums);
    if problems.is_empty() {
        return Ok(false);
    }
    if existed {
        tracing::warn!(
            "{}: {}; fetching it again",
            folder.display(),
            problems.join(", ")
        );
    }
    let mut maven_progress = MavenProgress::of(set);
    downloads.expect(set, maven_progress.sizes.values().sum());
    let fresh = cache.path(&format!("artifacts/.fetch-{set}"));
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh).map_err(StackError::io("make", &fresh))?;
    // Beside the folder, not in it: the folder must contain only its jars.
    let pom_path = cache.path(&format!("artifacts/.{set}.xml"));
    std::fs::write(&pom_path, pom).map_err(StackError::io("write", &pom_path))?;
    let on_output = |line: &str| {
        maven_progress.read_line(line);
        downloads.reached(set, maven_progress.bytes());
    };
    let fetched = maven(&pom_path, &fresh, on_output, stop);
    let context = |error: StackError| match error {
        StackError::Artifact { artifact, reason } if existed => StackError::Artifact {
            artifact,
            reason: format!("{}; and {reason}", problems.join(", ")),
        },
        StackError::MissingPrerequisite { what, advice } if existed => StackError::Artifact {
            artifact: format!("{set} (cached)"),
            reason: format!(
                "{}; it cannot be fetched again: {what} is missing: {advice}",
                problems.join(", ")
            ),
        },
        other => other,
    };
    fetched.map_err(context)?;
    downloads.whole(set);
    let problems = inspect(&fresh, &sums);
    if !problems.is_empty() {
        return Err(StackError::Artifact {
            artifact: set.to_owned(),
            reason: format!(
                "what Maven fetched is not what was pinned: {}; check its mirror, and remove the files from its local repository (~/.m2)",
                problems.join(", ")
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
