//! The pinned artifacts: versions, SHA-256 sums and sizes, as they are compiled into the program.

use std::collections::BTreeMap;

use crate::error::StackError;

pub(super) const SUMS: &str = include_str!("../../artifacts/artifacts.sha256");
/// The same files' sizes, bytes.
pub(super) const SIZES: &str = include_str!("../../artifacts/artifacts.bytes");
pub(super) const REQUIREMENTS: &str = include_str!("../../artifacts/requirements.txt");
pub(super) const POMS: [(&str, &str); 3] = [
    ("kafka", include_str!("../../artifacts/maven/kafka.xml")),
    (
        "debezium",
        include_str!("../../artifacts/maven/debezium.xml"),
    ),
    (
        "postgres",
        include_str!("../../artifacts/maven/postgres.xml"),
    ),
];
/// Connect's `plugin.path`, relative to the cache.
pub(super) const PLUGINS: &str = "artifacts/plugins";

/// Debezium's name, as it is shown.
pub(crate) const DEBEZIUM: &str = "Debezium";

/// Advice for missing programs.
pub(crate) const APT: &str =
    "on Debian: apt-get install openjdk-17-jre-headless maven python3-venv";

/// Versions, read from the poms and requirements.
pub(crate) mod version {
    use super::{POMS, REQUIREMENTS};

    /// Apache Kafka's.
    pub(crate) fn kafka() -> &'static str {
        between(POMS[0].1, "<kafka.version>", "<")
    }

    /// Debezium's.
    pub(crate) fn debezium() -> &'static str {
        between(POMS[1].1, "<debezium.version>", "<")
    }

    /// PostgreSQL's.
    pub(crate) fn postgres() -> &'static str {
        between(POMS[2].1, "<postgres.version>", "<")
    }

    /// SecantusDB's.
    pub(crate) fn secantusdb() -> &'static str {
        between(REQUIREMENTS, "secantusdb==", " ")
    }

    fn between(text: &'static str, before: &str, after: &str) -> &'static str {
        text.split_once(before)
            .and_then(|(_, rest)| rest.split_once(after))
            .map_or("unknown", |(version, _)| version)
    }
}

/// The platform's name in PostgreSQL's artifact.
pub(super) fn platform() -> Result<&'static str, StackError> {
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
pub(crate) fn sums(set: &str) -> Result<BTreeMap<&'static str, &'static str>, StackError> {
    Ok(of_set(SUMS, set, platform()?).collect())
}

/// The sizes of one set's files, bytes.
pub(crate) fn sizes(set: &str) -> BTreeMap<&'static str, u64> {
    let sizes = of_set(SIZES, set, platform().unwrap_or_default());
    sizes
        .filter_map(|(file, size)| Some((file, size.parse().ok()?)))
        .collect()
}

/// The lines of a list (`VALUE  SET/FILE`) for one set and platform, as pairs of file and value.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_size() {
        let files = |text: &'static str| -> Vec<_> {
            text.lines()
                .map(|line| line.split_once("  ").unwrap().1)
                .collect()
        };
        assert_eq!(files(SIZES), files(SUMS));
        assert_eq!(sizes("kafka").values().sum::<u64>(), 55_714_216);
        assert_eq!(sizes("postgres").len(), 1, "one platform's");
    }

    #[test]
    fn every_set_has_its_sums() {
        assert_eq!(sums("kafka").unwrap().len(), 91);
        assert_eq!(sums("debezium").unwrap().len(), 21);
        assert_eq!(sums("postgres").unwrap().len(), 1, "one platform's");
        assert!(sums("kafka").unwrap().values().all(|sum| sum.len() == 64));
        assert_eq!(
            (
                version::kafka(),
                version::debezium(),
                version::postgres(),
                version::secantusdb()
            ),
            ("4.3.0", "3.6.0.Final", "18.3.0", "0.7.0b3")
        );
    }
}
