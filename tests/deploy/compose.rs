//! `docker-compose.yml` and how the command brings it up. No container engine is needed: the file is held against the
//! Compose specification's schema, and where docker is called it is a stand-in that says what it was called with. What
//! the containers do is not tested here.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::wheel::Wheel;

const FILE: &str = include_str!("../../docker-compose.yml");

/// A package that carries the Compose specification's schema as the specification's authors publish it.
const PACKAGE: Wheel = Wheel {
    name: "check-jsonschema",
    version: "0.39.0",
    sha256: "14ce5c94871c551268ea948ffe21e9f1464dc48fb20bf9a4c13deeaaf756cf9b",
};
const SCHEMA: &str = "check_jsonschema/builtin_schemas/vendor/compose-spec.json";

#[test]
fn the_file_is_what_the_specification_allows() {
    let validator = jsonschema::validator_for(&PACKAGE.json(SCHEMA)).unwrap();
    let file: Value = serde_yaml_ng::from_str(FILE).unwrap();
    let wrong: Vec<_> = validator
        .iter_errors(&file)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The schema does find what is wrong.
    let mut broken = file;
    broken["services"]["kafka"]["prots"] = Value::Null;
    assert!(!validator.is_valid(&broken));
}

/// A run on containers, with a `docker` that is this shell script, or none.
struct Attempt {
    folder: tempfile::TempDir,
}

impl Attempt {
    fn with_docker(script: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["bin", "cache", "state"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        if let Some(script) = script {
            let docker = folder.path().join("bin/docker");
            std::fs::write(&docker, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut path = self.at("bin").into_os_string();
        // Without what may be a real docker.
        if args[0] == "run" {
            for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap()) {
                if !folder.join("docker").exists() {
                    path.push(":");
                    path.push(folder);
                }
            }
            // Maven and a shell may lie where docker does.
            for program in ["mvn", "java", "sh"] {
                let link = self.at("bin").join(program);
                if let Some(found) = find(program)
                    && !link.exists()
                {
                    std::os::unix::fs::symlink(found, link).unwrap();
                }
            }
        }
        Command::new(env!("CARGO_BIN_EXE_cdc-bench"))
            .args(args)
            .env("PATH", path)
            .env("CALLS", self.at("calls"))
            .env("CDC_BENCH_STATE_DIR", self.at("state"))
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
}

fn folders(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).unwrap().flatten();
    entries.filter(|entry| entry.path().is_dir()).count()
}

#[test]
fn what_is_missing_of_docker_is_named() {
    let run = ["run", "--events", "5", "--stack", "compose"];
    let none = Attempt::with_docker(None).run(&run);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(3), "{said}");
    assert!(
        said.contains("Docker (docker) is missing") && said.contains("--stack local"),
        "{said}"
    );
    let no_plugin = Attempt::with_docker(Some("exit 1"));
    let said = no_plugin.run(&run);
    assert_eq!(said.status.code(), Some(3));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("Compose plugin"), "{said}");
    let doctor = no_plugin.run(&["doctor", "--stack", "compose"]);
    assert_eq!(doctor.status.code(), Some(3));
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("Compose plugin"), "{said}");
}

#[test]
fn a_stack_that_does_not_come_up_is_removed_and_says_why() {
    let attempt = Attempt::with_docker(Some(
        r#"case "$*" in
            *version*) echo 2.40.0; exit 0 ;;
            *" up "*) echo "$*" >> "$CALLS"
                printf '%s\n' "ports $POSTGRES_PORT $KAFKA_PORT" "password of ${#POSTGRES_PASSWORD}" >> "$CALLS"
                test -d "$DEBEZIUM_PLUGINS/debezium" && echo "jars" >> "$CALLS"
                echo "Cannot connect to the engine" >&2; exit 1 ;;
            *) echo "$*" >> "$CALLS"; exit 0 ;;
        esac"#,
    ));
    let end = attempt.run(&["run", "--events", "5", "--stack", "compose"]);
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    assert_eq!(end.status.code(), Some(3), "{said}");
    assert!(
        said.contains("docker compose: Cannot connect to the engine"),
        "{said}"
    );
    let calls = std::fs::read_to_string(attempt.at("calls")).unwrap();
    let lines: Vec<_> = calls.lines().collect();
    let [up, ports, password, jars, down] = lines[..] else {
        panic!("{calls}");
    };
    let project = up.split_whitespace().nth(2).unwrap();
    assert!(project.starts_with("cdc-bench-"), "{up}");
    assert!(up.contains("up --detach --wait"), "{up}");
    assert!(
        ports
            .split_whitespace()
            .skip(1)
            .all(|port| port.parse::<u16>().is_ok()),
        "{ports}"
    );
    assert_eq!((password, jars), ("password of 24", "jars"));
    assert_eq!(
        down,
        format!("compose --project-name {project} down --volumes --remove-orphans --timeout 2")
    );
    assert_eq!(folders(&attempt.at("state")), 0);
}

#[test]
fn the_containers_of_a_run_that_was_killed_are_removed_by_the_next() {
    let attempt = Attempt::with_docker(Some(
        r#"case "$*" in
            *version*) echo 2.40.0 ;;
            *" up "*) exit 1 ;;
            *) echo "$*" >> "$CALLS" ;;
        esac"#,
    ));
    // As it is after a kill: the folder is there, and nobody holds its lock.
    let left = attempt.at("state/0123");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("lock"), "1").unwrap();
    std::fs::write(left.join("docker-compose.yml"), FILE).unwrap();
    attempt.run(&["run", "--events", "5", "--stack", "compose"]);
    let calls = std::fs::read_to_string(attempt.at("calls")).unwrap();
    assert!(
        calls.starts_with("compose --project-name cdc-bench-0123 down --volumes"),
        "{calls}"
    );
    assert!(!left.exists());
}
