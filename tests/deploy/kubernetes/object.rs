//! An object as a manifest has it.

use std::fmt;

use serde_json::Value;

/// One document of a manifest.
#[derive(Debug, Clone)]
pub struct Object(pub Value);

impl Object {
    pub fn text(&self, pointer: &str) -> &str {
        let value = self.0.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The pods that Kubernetes makes of it, if it does; what an operator makes is the operator's.
    pub fn pod(&self) -> Option<&Value> {
        let makes_pods = ["Deployment", "Job", "StatefulSet"].contains(&self.kind());
        self.0.pointer("/spec/template/spec").filter(|_| makes_pods)
    }

    pub fn containers(&self) -> Vec<&Value> {
        let pod = self.pod();
        pod.map(|pod| list(&pod["containers"])).unwrap_or_default()
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// The items of a list; of what is none, none.
pub fn list(value: &Value) -> Vec<&Value> {
    value.as_array().into_iter().flatten().collect()
}

/// A text; of what is none, an empty one.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
