//! Objects against the schema that Kubernetes publishes of its API, in which unknown fields are refused.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::Value;

use super::object::{Object, list};
use crate::wheel::Wheel;

/// A package that carries these schemas, by version, with unknown fields refused.
const PACKAGE: Wheel = Wheel {
    name: "kubernetes-validate",
    version: "1.37.0",
    sha256: "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9",
};
const GROUP_VERSION_KIND: &str = "x-kubernetes-group-version-kind";

/// Kinds of operators. No package registry has their schemas: of these only the form is checked, unless their definitions are given.
const CUSTOM: [(&str, &str); 5] = [
    ("kafka.strimzi.io/v1", "Kafka"),
    ("kafka.strimzi.io/v1", "KafkaConnect"),
    ("kafka.strimzi.io/v1", "KafkaNodePool"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("postgresql.cnpg.io/v1", "Cluster"),
];

/// Whether an operator defines its kind.
pub fn is_custom(object: &Object) -> bool {
    CUSTOM.contains(&(object.api_version(), object.kind()))
}

/// The API of a version of Kubernetes.
pub struct Api {
    version: &'static str,
    definitions: Value,
    /// Of the kinds that were met, so that each is compiled once.
    validators: RefCell<BTreeMap<String, Validator>>,
}

impl Api {
    pub fn of_version(version: &'static str) -> Self {
        let file = format!(
            "kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/_definitions.json"
        );
        Self {
            version,
            definitions: PACKAGE.json(&file),
            validators: RefCell::default(),
        }
    }

    /// What this version would refuse.
    pub fn problems(&self, object: &Object) -> Vec<String> {
        if object.name().is_empty() {
            return vec!["metadata.name is missing".to_owned()];
        }
        let mut problems = Vec::new();
        nothing_is_empty(&object.0, "", &mut problems);
        if is_custom(object) {
            if !object.0["spec"].is_object() {
                problems.push("spec is missing".to_owned());
            }
            return problems;
        }
        let kind = self.definition(object.api_version(), object.kind());
        let Some(kind) = kind else {
            return vec![format!(
                "Kubernetes {} has no {} {}",
                self.version,
                object.api_version(),
                object.kind()
            )];
        };
        let mut validators = self.validators.borrow_mut();
        let validator = validators.entry(kind.clone()).or_insert_with(|| {
            let mut schema = self.definitions.clone();
            schema["$ref"] = format!("#/$defs/{kind}").into();
            jsonschema::validator_for(&schema).unwrap()
        });
        let errors = validator.iter_errors(&object.0);
        let errors = errors.map(|error| {
            format!(
                "{}: {error} (Kubernetes {})",
                error.instance_path(),
                self.version
            )
        });
        problems.extend(errors);
        problems
    }

    /// The name of a kind's definition.
    fn definition(&self, api_version: &str, kind: &str) -> Option<String> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is_it = |item: &&Value| {
            item["group"] == group && item["version"] == version && item["kind"] == kind
        };
        let mut definitions = self.definitions["$defs"].as_object()?.iter();
        let found =
            definitions.find(|(_, schema)| list(&schema[GROUP_VERSION_KIND]).iter().any(is_it));
        found.map(|(name, _)| name.clone())
    }
}

/// A field without a value is taken for one that is not there, which hides what was meant.
fn nothing_is_empty(value: &Value, at: &str, problems: &mut Vec<String>) {
    match value {
        Value::Null => problems.push(format!("{at}: has no value")),
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                nothing_is_empty(item, &format!("{at}/{place}"), problems);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                nothing_is_empty(field, &format!("{at}/{name}"), problems);
            }
        }
        _ => {}
    }
}
