//! As much of kustomize as the kustomizations here need: resources, JSON patches and images.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::object::Object;

/// A `kustomization.yaml`. A field that is not here is refused: it would be left out of what is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Kustomization {
    #[serde(rename = "apiVersion")]
    _api_version: Option<String>,
    #[serde(rename = "kind")]
    _kind: Option<String>,
    /// They name nothing that is referred to.
    #[serde(default, rename = "labels")]
    _labels: Vec<Labels>,
    #[serde(default)]
    resources: Vec<PathBuf>,
    #[serde(default)]
    images: Vec<Image>,
    #[serde(default)]
    patches: Vec<Patch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Labels {
    #[serde(rename = "pairs")]
    _pairs: std::collections::BTreeMap<String, String>,
    #[serde(rename = "includeTemplates")]
    _include_templates: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Image {
    name: String,
    new_name: String,
    new_tag: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    target: Target,
    patch: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    op: String,
    path: String,
    value: Value,
}

/// The objects that `kubectl apply` would be given of a file or of a kustomization's folder.
///
/// # Errors
/// A sentence, when a file is missing, cannot be read, or names what is not there.
pub fn render(path: &Path) -> Result<Vec<Object>, String> {
    if path.is_file() {
        return documents(path);
    }
    let read = read(path)?;
    let mut objects = Vec::new();
    for resource in &read.resources {
        let file = path.join(resource);
        if !file.exists() {
            return Err(format!(
                "{}: there is no {}",
                path.display(),
                resource.display()
            ));
        }
        objects.extend(render(&file)?);
    }
    for patch in &read.patches {
        let Target { kind, name } = &patch.target;
        let is_meant = |object: &&mut Object| object.kind() == kind && object.name() == name;
        let object = objects.iter_mut().find(is_meant);
        let object = object.ok_or(format!("{}: there is no {kind} {name}", path.display()))?;
        let operations: Vec<Operation> =
            serde_yaml_ng::from_str(&patch.patch).map_err(|e| e.to_string())?;
        for operation in operations {
            replace(object, operation)?;
        }
    }
    for image in &read.images {
        objects
            .iter_mut()
            .for_each(|object| image.set(&mut object.0));
    }
    Ok(objects)
}

/// The files that a kustomization lists.
///
/// # Errors
/// When it cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = read(folder)?.resources.into_iter();
    Ok(listed.map(|resource| folder.join(resource)).collect())
}

fn read(folder: &Path) -> Result<Kustomization, String> {
    let file = folder.join("kustomization.yaml");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_yaml_ng::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

/// Every document of a file.
///
/// # Errors
/// When it cannot be read.
pub fn documents(file: &Path) -> Result<Vec<Object>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let objects = documents.map(|document| Value::deserialize(document).map(Object));
    let objects: Result<Vec<_>, _> = objects.collect();
    objects.map_err(|e| format!("{}: {e}", file.display()))
}

pub fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path);
        }
    }
}

/// One operation of a JSON patch. What is replaced has to be there, and of the same type: kustomize does not ask for the latter.
fn replace(object: &mut Object, operation: Operation) -> Result<(), String> {
    let Operation { op, path, value } = operation;
    if op != "replace" {
        return Err(format!(
            "{object}: {op} of {path}: only replace is known here"
        ));
    }
    let missing = format!("{object}: there is no {path}");
    let place = object.0.pointer_mut(&path).ok_or(missing)?;
    if std::mem::discriminant(place) != std::mem::discriminant(&value) {
        return Err(format!("{path}: {place} is replaced by {value}"));
    }
    *place = value;
    Ok(())
}

impl Image {
    fn set(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.set(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    let is_it = name == "image"
                        && field.as_str().is_some_and(|image| {
                            image
                                .rsplit_once(':')
                                .is_some_and(|(image, _)| image == self.name)
                        });
                    match is_it {
                        true => *field = format!("{}:{}", self.new_name, self.new_tag).into(),
                        false => self.set(field),
                    }
                }
            }
            _ => {}
        }
    }
}
