//! What Cargo knows: the packages, features and targets that its command lines may name.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::root;

/// Kinds of targets that a flag of the same name chooses.
const KINDS: [&str; 4] = ["bin", "bench", "test", "example"];

/// The packages of a workspace.
pub struct Workspace {
    packages: Vec<Package>,
}

struct Package {
    name: String,
    features: BTreeSet<String>,
    targets: Vec<Target>,
}

struct Target {
    kinds: Vec<String>,
    name: String,
    required_features: Vec<String>,
}

/// What follows `--` where `cargo run` runs the command of this repository.
pub fn arguments_of_the_program(words: &[String]) -> Option<&[String]> {
    let (cargo, program) = at_dashes(words);
    let another = ["-p", "--package", "--example", "--bin", "--manifest-path"];
    let runs = cargo.get(1).is_some_and(|command| command == "run");
    let is_another = cargo.iter().any(|word| another.contains(&word.as_str()));
    program.filter(|_| runs && !is_another)
}

/// Words before `--`, and those behind it.
fn at_dashes(words: &[String]) -> (&[String], Option<&[String]>) {
    match words.iter().position(|word| word == "--") {
        Some(at) => (&words[..at], Some(&words[at + 1..])),
        None => (words, None),
    }
}

impl Workspace {
    /// Asks Cargo, which neither builds nor downloads anything for that.
    pub fn of(manifest: &Path) -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .arg("--manifest-path")
            .arg(manifest)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", manifest.display());
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        Self {
            packages: packages.iter().map(Package::of).collect(),
        }
    }

    /// Why Cargo would refuse a command line: a package, feature or target that is not there.
    pub fn refusal(&self, words: &[String]) -> Option<String> {
        let (words, _) = at_dashes(words);
        // A toolchain may come first, as in "cargo +nightly".
        let command = words[1..].iter().find(|word| !word.starts_with('+'))?;
        match command.as_str() {
            "bench" | "build" | "check" | "clippy" | "doc" | "run" | "test" => self.missing(words),
            "fuzz" => missing_fuzz_target(words),
            _ => None,
        }
    }

    fn missing(&self, words: &[String]) -> Option<String> {
        let named = [values(words, "-p"), values(words, "--package")].concat();
        for name in &named {
            if !self.packages.iter().any(|package| package.name == *name) {
                return Some(format!("there is no package {name}"));
            }
        }
        let is_chosen = |package: &&Package| named.is_empty() || named.contains(&&*package.name);
        let packages: Vec<_> = self.packages.iter().filter(is_chosen).collect();

        let features = values(words, "--features");
        let features: Vec<_> = features.iter().flat_map(|list| list.split(',')).collect();
        for name in &features {
            if !packages
                .iter()
                .any(|package| package.features.contains(*name))
            {
                return Some(format!("there is no feature {name}"));
            }
        }

        for kind in KINDS {
            for name in values(words, &format!("--{kind}")) {
                let mut targets = packages.iter().flat_map(|package| &package.targets);
                let Some(target) = targets.find(|target| target.is(kind, name)) else {
                    return Some(format!("there is no {kind} {name}"));
                };
                let mut required = target.required_features.iter();
                if let Some(lacking) = required.find(|name| !features.contains(&name.as_str())) {
                    return Some(format!("{kind} {name} needs --features {lacking}"));
                }
            }
        }
        None
    }
}

impl Package {
    fn of(package: &Value) -> Self {
        let features = package["features"].as_object().unwrap();
        let targets = package["targets"].as_array().unwrap();
        Self {
            name: text(&package["name"]),
            features: features.keys().cloned().collect(),
            targets: targets.iter().map(Target::of).collect(),
        }
    }
}

impl Target {
    fn of(target: &Value) -> Self {
        let texts = |value: &Value| value.as_array().map(|list| list.iter().map(text).collect());
        Self {
            kinds: texts(&target["kind"]).unwrap(),
            name: text(&target["name"]),
            required_features: texts(&target["required-features"]).unwrap_or_default(),
        }
    }

    fn is(&self, kind: &str, name: &str) -> bool {
        self.name == name && self.kinds.iter().any(|known| known == kind)
    }
}

/// Why `cargo fuzz` would not find its target, which comes last.
fn missing_fuzz_target(words: &[String]) -> Option<String> {
    let folder = values(words, "--fuzz-dir").pop().unwrap_or("fuzz");
    let manifest = root().join(folder).join("Cargo.toml");
    if !manifest.exists() {
        return Some(format!("there is no crate of fuzz targets in {folder}"));
    }
    let name = words.last()?;
    let packages = Workspace::of(&manifest).packages;
    let mut targets = packages.iter().flat_map(|package| &package.targets);
    let is_there = targets.any(|target| target.is("bin", name));
    (!is_there).then(|| format!("{folder} has no target {name}"))
}

/// The values of a flag, written `--flag value` or `--flag=value`.
fn values<'w>(words: &'w [String], flag: &str) -> Vec<&'w str> {
    let found =
        words
            .iter()
            .enumerate()
            .filter_map(|(place, word)| match word.strip_prefix(flag)? {
                "" => words.get(place + 1).map(String::as_str),
                behind => behind.strip_prefix('='),
            });
    found.collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn what_is_not_there_is_named() {
    let workspace = Workspace {
        packages: vec![Package {
            name: "shop".to_owned(),
            features: BTreeSet::from(["fast".to_owned()]),
            targets: vec![Target {
                kinds: vec!["bench".to_owned()],
                name: "orders".to_owned(),
                required_features: vec!["fast".to_owned()],
            }],
        }],
    };
    let refusal = |line: &str| {
        let words: Vec<_> = line.split(' ').map(ToOwned::to_owned).collect();
        workspace.refusal(&words).unwrap_or_default()
    };
    assert_eq!(
        refusal("cargo bench -p shop --bench=orders --features fast"),
        ""
    );
    assert_eq!(refusal("cargo test -- --test x"), "");
    assert_eq!(refusal("cargo bench -p till"), "there is no package till");
    assert_eq!(
        refusal("cargo test --test orders"),
        "there is no test orders"
    );
    assert_eq!(
        refusal("cargo +nightly test --features slow"),
        "there is no feature slow"
    );
    assert_eq!(
        refusal("cargo bench --bench orders"),
        "bench orders needs --features fast"
    );
}
