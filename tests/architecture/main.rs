//! What `ARCHITECTURE.md` says of who may know whom, held against the imports of the sources. Between crates Cargo holds
//! it; this is for what is left: the rooms of the command, and circles among files anywhere.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod imports;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use imports::Imports;

/// The rooms of `src/`, and which others each may import. A room that is not listed may import none.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("broker", &["records", "tls_failure"]),
    ("cli", &["*"]),
    ("consumer", &["debezium", "json", "records", "store"]),
    ("dashboard", &["live", "load"]),
    ("debezium", &["cause", "json", "tls_failure"]),
    ("load", &["own_thread"]),
    (
        "observe",
        &[
            "broker",
            "cause",
            "debezium",
            "json",
            "live",
            "pipeline/export",
            "pipeline/failure",
            "pipeline/monitor",
            "pipeline/provision",
            "records",
            "settings",
            "store",
            "tls_failure",
        ],
    ),
    ("store", &["json", "tls_failure"]),
    // Every room of the pipeline may import the stages, the settings, and what stands below all of its rooms.
    (
        "pipeline/commands",
        &[
            "STAGES",
            "BASE",
            "pipeline/outcome",
            "pipeline/export",
            "pipeline/run",
            "pipeline/distributed",
            "pipeline/monitor",
            "pipeline/provision",
        ],
    ),
    (
        "pipeline/distributed",
        &["STAGES", "BASE", "pipeline/provision"],
    ),
    (
        "pipeline/outcome",
        &[
            "STAGES",
            "BASE",
            "pipeline/run",
            "pipeline/monitor",
            "pipeline/provision",
        ],
    ),
    (
        "pipeline/run",
        &[
            "STAGES",
            "BASE",
            "pipeline/distributed",
            "pipeline/export",
            "pipeline/monitor",
            "pipeline/provision",
        ],
    ),
    (
        "pipeline/monitor",
        &["STAGES", "BASE", "pipeline/export", "pipeline/provision"],
    ),
    ("pipeline/provision", &["STAGES", "BASE", "tls_failure"]),
    (
        "pipeline/request",
        &[
            "STAGES",
            "pipeline/export",
            "pipeline/failure",
            "pipeline/faults",
        ],
    ),
    ("pipeline/progress", &["STAGES"]),
    ("pipeline/failure", &["STAGES"]),
    ("pipeline/export", &["STAGES", "pipeline/lock"]),
];
const STAGES: &[&str] = &[
    "broker",
    "cause",
    "consumer",
    "debezium",
    "live",
    "load",
    "own_thread",
    "records",
    "settings",
    "store",
];
const BASE: &[&str] = &[
    "pipeline/failure",
    "pipeline/faults",
    "pipeline/lock",
    "pipeline/progress",
    "pipeline/request",
];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn workspace() -> Imports {
    Imports::of_workspace(top())
}

/// `pipeline/run` of `src/pipeline/run/trial.rs`, `broker` of `src/broker/mod.rs`; none outside of `src/` and of its roots.
fn room(file: &Path) -> Option<String> {
    let below = file
        .strip_prefix(top().join("src"))
        .ok()?
        .with_extension("");
    let mut parts = below.iter().map(|part| part.to_string_lossy().into_owned());
    let first = parts.next()?;
    match (&*first, parts.next()) {
        ("lib" | "main", _) | ("pipeline", None) => None,
        ("pipeline", Some(second)) if second == "mod" => None,
        ("pipeline", Some(second)) => Some(format!("pipeline/{second}")),
        _ => Some(first),
    }
}

fn may_import(from: &str, to: &str) -> bool {
    let listed = MAY_IMPORT.iter().find(|(room, _)| *room == from);
    let allowed = listed.map_or(&[][..], |(_, allowed)| allowed);
    allowed.iter().any(|room| match *room {
        "*" => true,
        "STAGES" => STAGES.contains(&to),
        "BASE" => BASE.contains(&to),
        room => room == to,
    })
}

fn shown(file: &Path) -> String {
    let below = file.strip_prefix(top()).unwrap_or(file);
    below.display().to_string()
}

#[test]
fn no_room_of_the_command_imports_one_that_it_may_not_know() {
    let mut wrong = BTreeSet::new();
    let mut rooms = BTreeSet::new();
    for (from, to) in workspace().edges() {
        let (Some(from_room), Some(to_room)) = (room(from), room(to)) else {
            continue;
        };
        if from_room != to_room && !may_import(&from_room, &to_room) {
            wrong.insert(format!(
                "{} imports {} of {to_room}",
                shown(from),
                shown(to)
            ));
        }
        rooms.extend([from_room, to_room]);
    }
    assert!(rooms.len() > 15, "the sources were not found: {rooms:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let imports = workspace();
    let mut graph: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = BTreeMap::new();
    for (from, to) in imports.edges() {
        graph.entry(from).or_default().insert(to);
    }
    assert!(
        graph.len() > 200,
        "the sources were not found: {}",
        graph.len()
    );
    let circles: BTreeSet<String> = graph
        .keys()
        .filter_map(|file| circle(&graph, file))
        .collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

/// The shortest way from a file over its imports back to itself, told from its first file by name.
fn circle(graph: &BTreeMap<&PathBuf, BTreeSet<&PathBuf>>, start: &PathBuf) -> Option<String> {
    let mut came_from: BTreeMap<&PathBuf, &PathBuf> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for &next in graph.get(file).into_iter().flatten() {
            if next == start {
                let mut way = vec![file];
                while let Some(before) = came_from.get(way[way.len() - 1]) {
                    way.push(before);
                }
                way.reverse();
                let first = way.iter().enumerate().min_by_key(|(_, file)| **file)?.0;
                way.rotate_left(first);
                let way: Vec<_> = way.into_iter().map(|file| shown(file)).collect();
                return Some(way.join(" -> "));
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}
