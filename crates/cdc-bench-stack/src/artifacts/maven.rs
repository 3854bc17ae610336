//! Maven (`mvn`): fetches one set of jars; its output gives the bytes fetched so far.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use tokio_util::sync::CancellationToken;

use super::manifest::{APT, platform, sizes};
use crate::error::StackError;
use crate::processes::{OutputStream, watch};

/// Pinned like the artifacts: another version of the plugin may copy different files.
const COPY_GOAL: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

pub(super) fn maven(
    pom: &Path,
    output: &Path,
    mut on_output: impl FnMut(&str),
    stop: &CancellationToken,
) -> Result<(), StackError> {
    let mut command = Command::new("mvn");
    // Not -B (batch mode): Maven then prints no progress.
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
    let ok = watch(command, OutputStream::Stdout, missing, stop, |line| {
        if let Some(error) = line.strip_prefix("[ERROR] ") {
            errors.push(error.to_owned());
        } else {
            on_output(line);
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

/// Progress of one set, read from Maven's output.
pub(super) struct MavenProgress {
    pub(super) sizes: BTreeMap<&'static str, u64>,
    /// Bytes of the set's completed files.
    done: u64,
    /// Files being downloaded, the set's and those of Maven itself.
    in_progress: BTreeSet<String>,
    /// Bytes fetched of these.
    in_progress_bytes: u64,
}

impl MavenProgress {
    pub(super) fn of(set: &str) -> Self {
        Self {
            sizes: sizes(set),
            done: 0,
            in_progress: BTreeSet::new(),
            in_progress_bytes: 0,
        }
    }

    /// Reads a line of Maven's output.
    pub(super) fn read_line(&mut self, line: &str) {
        if let Some(address) = line.strip_prefix("Downloading from ") {
            self.in_progress.insert(file_of(address).to_owned());
        } else if let Some(address) = line.strip_prefix("Downloaded from ") {
            let file = file_of(address);
            self.in_progress.remove(file);
            self.done += self.sizes.get(file).copied().unwrap_or(0);
            self.in_progress_bytes = 0;
        } else if let Some(bytes) = bytes_under_way(line) {
            self.in_progress_bytes = bytes;
        }
    }

    /// Bytes of the set that are fetched. Maven gives one sum for all files in progress, so it is capped at the sizes
    /// of the set's files among them.
    pub(super) fn bytes(&self) -> u64 {
        let ours = self
            .in_progress
            .iter()
            .filter_map(|file| self.sizes.get(&**file));
        self.done + self.in_progress_bytes.min(ours.sum())
    }
}

/// "central: <address>/x.jar (1.2 MB at 3.4 MB/s)": the file's name.
fn file_of(address: &str) -> &str {
    let address = address.split(" (").next().unwrap_or(address);
    address.rsplit('/').next().unwrap_or(address).trim_end()
}

/// "Progress (2): 196/411 kB | 4.1/41 kB": bytes fetched of all files in progress.
fn bytes_under_way(line: &str) -> Option<u64> {
    let (_, files) = line.strip_prefix("Progress (")?.split_once("): ")?;
    files.split(" | ").map(size_of).sum()
}

/// "4.1/41 kB" or "41 kB": the first number, in bytes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // sizes of files
pub(crate) fn size_of(figures: &str) -> Option<u64> {
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
    fn what_maven_says_is_counted_where_it_is_the_sets() {
        let mut fetching = MavenProgress {
            sizes: BTreeMap::from([("big.jar", 66_000_000), ("small.jar", 2_000)]),
            ..MavenProgress::of("")
        };
        let on_output = |fetching: &mut MavenProgress, line: &str| {
            fetching.read_line(line);
            fetching.bytes()
        };
        let at = "central: https://repository/org/example";
        let line = format!("Downloading from {at}/plugin.jar");
        assert_eq!(on_output(&mut fetching, &line), 0);
        assert_eq!(on_output(&mut fetching, "Progress (1): 1.2/3.4 MB"), 0);
        let line = format!("Downloading from {at}/big.jar");
        on_output(&mut fetching, &line);
        let line = "Progress (2): 1.2/3.4 MB | 0.3/66 MB";
        assert_eq!(on_output(&mut fetching, line), 1_500_000);
        let line = format!("Downloaded from {at}/plugin.jar (3.4 MB at 5 MB/s)");
        assert_eq!(on_output(&mut fetching, &line), 0);
        assert_eq!(
            on_output(&mut fetching, "Progress (1): 12/66 MB "),
            12_000_000
        );
        let line = format!("Downloaded from {at}/big.jar (66 MB at 8.2 MB/s)");
        assert_eq!(on_output(&mut fetching, &line), 66_000_000);
        assert_eq!(on_output(&mut fetching, "[INFO] BUILD SUCCESS"), 66_000_000);
        let line = format!("Downloaded from {at}/small.jar (2.0 kB at 20 kB/s)");
        assert_eq!(on_output(&mut fetching, &line), 66_002_000);
    }
}
