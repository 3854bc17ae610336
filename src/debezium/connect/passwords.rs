//! Which settings are passwords, by the definitions of a connector's plugin and of its converters and transforms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reqwest::Method;
use tokio::sync::Mutex;

use super::answers::Validation;
use super::error::KafkaConnectError;
use super::http::ConnectHttp;

/// Classes of a configuration, by their settings.
type Classes = BTreeMap<String, String>;

/// The password settings of the classes that were asked about.
#[derive(Debug, Clone, Default)]
pub(super) struct PasswordSettings(Arc<Mutex<BTreeMap<Classes, Arc<BTreeSet<String>>>>>);

impl PasswordSettings {
    /// Names of the settings of this configuration that Connect defines as passwords. Connect is asked once for the same classes;
    /// where it cannot say, there are none, and secrets are known by their names alone.
    pub(super) async fn of(
        &self,
        http: &ConnectHttp,
        config: &BTreeMap<String, String>,
    ) -> Arc<BTreeSet<String>> {
        let classes = classes(config);
        let mut known = self.0.lock().await;
        if let Some(passwords) = known.get(&classes) {
            return Arc::clone(passwords);
        }
        let passwords = match ask(http, &classes).await {
            Ok(passwords) => passwords,
            Err(error) => {
                tracing::debug!(%error, "Connect does not say which settings are passwords");
                BTreeSet::new()
            }
        };
        let passwords = Arc::new(passwords);
        known.insert(classes, Arc::clone(&passwords));
        passwords
    }
}

/// The settings that name classes. Without the others the plugin defines its settings and connects to nothing, and no secret is
/// sent.
fn classes(config: &BTreeMap<String, String>) -> Classes {
    let names_class = |key: &str| {
        let is_of_chain = key.starts_with("transforms.") || key.starts_with("predicates.");
        ["connector.class", "transforms", "predicates"].contains(&key)
            || ["key.converter", "value.converter", "header.converter"].contains(&key)
            || is_of_chain && key.ends_with(".type")
    };
    config
        .iter()
        .filter(|(key, _)| names_class(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

async fn ask(http: &ConnectHttp, classes: &Classes) -> Result<BTreeSet<String>, KafkaConnectError> {
    let Some(class) = classes.get("connector.class") else {
        return Ok(BTreeSet::new());
    };
    let path = ["connector-plugins", class, "config", "validate"];
    let validated = http.request(Method::PUT, &path).json(classes);
    let validation: Validation = http.read(validated).await?;
    Ok(validation.passwords())
}
