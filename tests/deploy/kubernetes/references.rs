//! What objects refer to: each is there, or the documentation says how it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::object::{Object, list, text};

/// Secrets by name, with their keys.
pub type Secrets = BTreeMap<String, BTreeSet<String>>;

/// Where it is said how secrets are made, besides in the manifests themselves.
const PAGES: [&str; 2] = [
    "docs/how-to/kubernetes.md",
    "docs/how-to/observe-as-a-service.md",
];

/// Secrets that a `kubectl create secret` makes which is shown: in a manifest's comments or in the guide.
pub fn documented_secrets() -> Secrets {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    super::kustomization::yaml_files(&root.join("deploy/kubernetes"), &mut files);
    files.extend(PAGES.map(|page| root.join(page)));
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let mut secrets = Secrets::new();
    for text in texts {
        for (at, _) in text.match_indices("kubectl create secret ") {
            let line = text[at..].lines().next().unwrap_or_default();
            let mut words = line.split_whitespace().skip(3);
            let name = words.nth(1).unwrap_or_default();
            let keys = secrets.entry(name.to_owned()).or_default();
            let given = words.filter_map(|word| {
                word.strip_prefix("--from-file=")
                    .or(word.strip_prefix("--from-literal="))
            });
            keys.extend(given.map(|given| given.split('=').next().unwrap_or_default().to_owned()));
        }
    }
    secrets
}

pub fn problems(object: &Object, objects: &[Object], secrets: &Secrets) -> Vec<String> {
    let mut problems = Vec::new();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    if let Some(pod) = object.pod() {
        let account = text(&pod["serviceAccountName"]);
        if !account.is_empty() {
            wanted.push(("ServiceAccount", account));
        }
        for volume in list(&pod["volumes"]) {
            wanted.push(("Secret", text(&volume["secret"]["secretName"])));
            wanted.push(("ConfigMap", text(&volume["configMap"]["name"])));
            wanted.push((
                "PersistentVolumeClaim",
                text(&volume["persistentVolumeClaim"]["claimName"]),
            ));
        }
    }
    for container in object.containers() {
        for from in list(&container["envFrom"]) {
            wanted.push(("ConfigMap", text(&from["configMapRef"]["name"])));
            wanted.push(("Secret", text(&from["secretRef"]["name"])));
        }
        for variable in list(&container["env"]) {
            let from = &variable["valueFrom"];
            wanted.push(("Secret", text(&from["secretKeyRef"]["name"])));
            wanted.push(("ConfigMap", text(&from["configMapKeyRef"]["name"])));
            problems.extend(missing_key(&from["configMapKeyRef"], objects));
        }
    }
    secrets_of_operators(&object.0, &mut wanted);
    wanted.retain(|(_, name)| !name.is_empty());
    for (kind, name) in wanted {
        let is_there = objects
            .iter()
            .any(|other| other.kind() == kind && other.name() == name);
        let is_documented = kind == "Secret" && secrets.contains_key(name);
        if !is_there && !is_documented {
            problems.push(format!("there is no {kind} {name}"));
        }
    }
    problems
}

/// A key that a ConfigMap has not got.
fn missing_key(reference: &Value, objects: &[Object]) -> Option<String> {
    let (name, key) = (text(&reference["name"]), text(&reference["key"]));
    let mut maps = objects.iter().filter(|object| object.kind() == "ConfigMap");
    let map = maps.find(|object| object.name() == name)?;
    map.0["data"][key]
        .is_null()
        .then(|| format!("ConfigMap {name} has no {key}"))
}

/// Secrets that objects of operators name, wherever they do: `secret: {name}`, `passwordSecret: {name}`, `pushSecret: NAME`.
fn secrets_of_operators<'o>(value: &'o Value, wanted: &mut Vec<(&'o str, &'o str)>) {
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| secrets_of_operators(item, wanted)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "secret" | "passwordSecret" => wanted.push(("Secret", text(&field["name"]))),
                    "pushSecret" => wanted.push(("Secret", text(field))),
                    _ => secrets_of_operators(field, wanted),
                }
            }
        }
        _ => {}
    }
}
