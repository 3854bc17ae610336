//! pgcdc and pgcdc-debezium are products of their own: they know no other crate of the workspace, and stay small.

// Helpers of tests may panic.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The command of the workspace, as a package and as a crate.
const COMMAND: [&str; 2] = ["cdc-bench", "cdc_bench"];
/// Clients of other servers and terminal libraries: an embedded reader has no use for them.
const FOREIGN: [&str; 6] = [
    "rdkafka",
    "mongodb",
    "ratatui",
    "crossterm",
    "console",
    "indicatif",
];
/// Most crates that a program compiles for pgcdc, itself included.
const MOST_CRATES: usize = 120;

/// Every file at this path.
fn files(path: PathBuf, found: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        found.push(path);
        return;
    }
    for entry in std::fs::read_dir(&path).unwrap() {
        files(entry.unwrap().path(), found);
    }
}

#[test]
fn no_source_names_the_command_of_the_workspace() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for name in ["pgcdc", "pgcdc-debezium"] {
        for part in [
            "src",
            "examples",
            "fuzz/src",
            "README.md",
            "CHANGELOG.md",
            "Cargo.toml",
        ] {
            files(crates.join(name).join(part), &mut found);
        }
    }
    assert!(found.len() > 30, "{found:?}");
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, text) in text.lines().enumerate() {
            let names = COMMAND.iter().find(|name| text.contains(**name));
            assert_eq!(names, None, "{}:{}", path.display(), line + 1);
        }
    }
}

#[test]
fn the_reader_depends_on_few_crates_and_on_no_client_of_another_server() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "pgcdc", "-e", "normal", "--prefix", "none"])
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    // "bytes v1.12.2 (*)": two versions of a crate are two crates.
    let crates: BTreeSet<_> = tree
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            )
        })
        .collect();
    for foreign in FOREIGN {
        assert!(
            !crates.iter().any(|(name, _)| *name == foreign),
            "{foreign}"
        );
    }
    assert!(
        crates.len() < MOST_CRATES,
        "{} crates: {crates:?}",
        crates.len()
    );
}
