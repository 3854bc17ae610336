//! Objects of operators against the definitions (CRDs) that these install.

use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::kustomization::{documents, yaml_files};
use super::object::{Object, list, text};

/// Validators by `GROUP/VERSION KIND`.
pub struct CustomResources(BTreeMap<String, Validator>);

impl CustomResources {
    /// Of every definition in the files of a folder.
    pub fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        yaml_files(folder, &mut files);
        let mut validators = BTreeMap::new();
        for definition in files.iter().flat_map(|file| documents(file).unwrap()) {
            let group = definition.text("/spec/group").to_owned();
            let kind = definition.text("/spec/names/kind").to_owned();
            for version in list(&definition.0["spec"]["versions"]) {
                let mut schema = version["schema"]["openAPIV3Schema"].clone();
                refuse_unknown_fields(&mut schema);
                let name = format!("{group}/{} {kind}", text(&version["name"]));
                validators.insert(name, jsonschema::validator_for(&schema).unwrap());
            }
        }
        Self(validators)
    }

    pub fn problems(&self, object: &Object) -> Vec<String> {
        let name = format!("{} {}", object.api_version(), object.kind());
        let Some(validator) = self.0.get(&name) else {
            return vec![format!("there is no definition of {name}")];
        };
        let errors = validator.iter_errors(&object.0);
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    }
}

/// Kubernetes drops fields that a definition does not know; with `kubectl --validate=strict` it refuses them.
fn refuse_unknown_fields(schema: &mut Value) {
    if schema["x-kubernetes-int-or-string"] == true {
        *schema = json!({ "type": ["integer", "string"] });
        return;
    }
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    // Definitions are without the fields of every object.
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        for property in properties.values_mut() {
            refuse_unknown_fields(property);
        }
        if properties.contains_key("metadata") && properties.contains_key("kind") {
            properties.insert("metadata".to_owned(), json!({ "type": "object" }));
        }
        if !is_open && !fields.contains_key("additionalProperties") {
            fields.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            refuse_unknown_fields(inner);
        }
    }
}
