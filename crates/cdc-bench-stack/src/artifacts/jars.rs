//! Jars: fetched by `mvn`, held against their sums.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{APT, PLUGINS, SIZES, SUMS, remove};
use crate::StackError;
use crate::cache::Cache;
use crate::client::{Voice, watch};
use crate::download::Downloads;

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
    Ok(of_set(SUMS, set, platform()?).collect())
}

/// The sizes of one set's files, bytes.
pub(super) fn sizes(set: &str) -> BTreeMap<&'static str, u64> {
    let sizes = of_set(SIZES, set, platform().unwrap_or_default());
    sizes
        .filter_map(|(file, size)| Some((file, size.parse().ok()?)))
        .collect()
}

/// A list's lines of one set and platform, "what  set/file", as file and what.
fn of_set(
    list: &'static str,
    set: &str,
    platform: &str,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    list.lines().filter_map(move |line| {
        let (what, path) = line.split_once("  ")?;
        let (of, file) = path.split_once('/')?;
        let is_mine = set != "postgres" || file.contains(&format!("-{platform}-"));
        (of == set && is_mine).then_some((file, what))
    })
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
    set: &'static str,
    pom: &str,
    downloads: &Downloads<'_>,
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
    let mut fetching = Fetching::of(set);
    downloads.expect(set, fetching.sizes.values().sum());
    let fresh = cache.path(&format!("artifacts/.fetch-{set}"));
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh).map_err(StackError::io("make", &fresh))?;
    // Beside the folder, not in it: the folder is to hold its jars and nothing else.
    let pom_path = cache.path(&format!("artifacts/.{set}.xml"));
    std::fs::write(&pom_path, pom).map_err(StackError::io("write", &pom_path))?;
    let heard = |line: &str| {
        fetching.hear(line);
        downloads.reached(set, fetching.bytes());
    };
    let fetched = maven(&pom_path, &fresh, heard, stop);
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
    downloads.whole(set);
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
    mut heard: impl FnMut(&str),
    stop: &CancellationToken,
) -> Result<(), StackError> {
    let mut command = Command::new("mvn");
    // Not -B: only somebody who may look on is told of bytes.
    command.args(["-C", "-f"]).arg(pom).arg(COPY_GOAL);
    command.arg("-Dstyle.color=never");
    command
        .arg(format!("-DoutputDirectory={}", output.display()))
        .arg(format!("-Dpostgres.platform={}", platform()?));
    let missing = || StackError::MissingPrerequisite {
        what: "Maven (mvn)".to_owned(),
        advice: APT.to_owned(),
    };
    let mut errors = Vec::new();
    let ok = watch(command, Voice::Stdout, missing, stop, |line| {
        if let Some(error) = line.strip_prefix("[ERROR] ") {
            errors.push(error.to_owned());
        } else {
            heard(line);
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

/// A set that Maven fetches, as far as Maven says.
struct Fetching {
    sizes: BTreeMap<&'static str, u64>,
    /// Bytes of the set's files that are here.
    done: u64,
    /// Files that are on their way, whether they are the set's or Maven's own.
    under_way: BTreeSet<String>,
    /// Bytes that are here of those.
    coming: u64,
}

impl Fetching {
    fn of(set: &str) -> Self {
        Self {
            sizes: sizes(set),
            done: 0,
            under_way: BTreeSet::new(),
            coming: 0,
        }
    }

    /// Takes a line of Maven's.
    fn hear(&mut self, line: &str) {
        if let Some(address) = line.strip_prefix("Downloading from ") {
            self.under_way.insert(file_of(address).to_owned());
        } else if let Some(address) = line.strip_prefix("Downloaded from ") {
            let file = file_of(address);
            self.under_way.remove(file);
            self.done += self.sizes.get(file).copied().unwrap_or(0);
            self.coming = 0;
        } else if let Some(bytes) = bytes_under_way(line) {
            self.coming = bytes;
        }
    }

    /// Bytes of the set that are here. What comes beside a file of Maven's own counts for no more than the set's files
    /// that are on their way.
    fn bytes(&self) -> u64 {
        let ours = self
            .under_way
            .iter()
            .filter_map(|file| self.sizes.get(&**file));
        self.done + self.coming.min(ours.sum())
    }
}

/// "central: <address>/x.jar (1.2 MB at 3.4 MB/s)": the file's name.
fn file_of(address: &str) -> &str {
    let address = address.split(" (").next().unwrap_or(address);
    address.rsplit('/').next().unwrap_or(address).trim_end()
}

/// "Progress (2): 196/411 kB | 4.1/41 kB": bytes that are here of all files on their way.
fn bytes_under_way(line: &str) -> Option<u64> {
    let (_, files) = line.strip_prefix("Progress (")?.split_once("): ")?;
    files.split(" | ").map(size_of).sum()
}

/// "4.1/41 kB" or "41 kB": the first number, in bytes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // sizes of files
pub(super) fn size_of(figures: &str) -> Option<u64> {
    let (numbers, unit) = figures.trim().rsplit_once(' ')?;
    let number: f64 = numbers.split('/').next()?.parse().ok()?;
    let scale = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    Some((number * scale).max(0.0).round() as u64)
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

    #[test]
    fn what_maven_says_is_counted_where_it_is_the_sets() {
        let mut fetching = Fetching {
            sizes: BTreeMap::from([("big.jar", 66_000_000), ("small.jar", 2_000)]),
            ..Fetching::of("")
        };
        let heard = |fetching: &mut Fetching, line: &str| {
            fetching.hear(line);
            fetching.bytes()
        };
        let at = "central: https://repository/org/example";
        let line = format!("Downloading from {at}/plugin.jar");
        assert_eq!(heard(&mut fetching, &line), 0);
        assert_eq!(heard(&mut fetching, "Progress (1): 1.2/3.4 MB"), 0);
        let line = format!("Downloading from {at}/big.jar");
        heard(&mut fetching, &line);
        let line = "Progress (2): 1.2/3.4 MB | 0.3/66 MB";
        assert_eq!(heard(&mut fetching, line), 1_500_000);
        let line = format!("Downloaded from {at}/plugin.jar (3.4 MB at 5 MB/s)");
        assert_eq!(heard(&mut fetching, &line), 0);
        assert_eq!(heard(&mut fetching, "Progress (1): 12/66 MB "), 12_000_000);
        let line = format!("Downloaded from {at}/big.jar (66 MB at 8.2 MB/s)");
        assert_eq!(heard(&mut fetching, &line), 66_000_000);
        assert_eq!(heard(&mut fetching, "[INFO] BUILD SUCCESS"), 66_000_000);
        let line = format!("Downloaded from {at}/small.jar (2.0 kB at 20 kB/s)");
        assert_eq!(heard(&mut fetching, &line), 66_002_000);
    }
}
