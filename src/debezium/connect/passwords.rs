//! Which settings are passwords, by the definitions of a connector's plugin and of its converters and transforms.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Method;
use tokio::sync::Mutex;

use super::answers::Validation;
use super::error::KafkaConnectError;
use super::http::ConnectHttp;
use crate::debezium::redaction::{PasswordDefinitions, names_class};

/// Classes of a configuration, by their settings.
type Classes = BTreeMap<String, String>;

/// The password settings of the classes that were asked about.
#[derive(Debug, Clone, Default)]
pub(super) struct PasswordSettings(Arc<Mutex<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    known: BTreeMap<Classes, Arc<PasswordDefinitions>>,
    has_warned: bool,
}

impl PasswordSettings {
    /// The settings of this configuration that Connect defines as passwords. Connect is asked once for the same classes; where it
    /// does not say, they are unknown, which is logged once, and the next call asks again.
    pub(super) async fn of(
        &self,
        http: &ConnectHttp,
        config: &BTreeMap<String, String>,
    ) -> Arc<PasswordDefinitions> {
        let classes = classes(config);
        let mut asked = self.0.lock().await;
        if let Some(definitions) = asked.known.get(&classes) {
            return Arc::clone(definitions);
        }
        match ask(http, &classes).await {
            Ok(definitions) => {
                let definitions = Arc::new(definitions);
                asked.known.insert(classes, Arc::clone(&definitions));
                definitions
            }
            Err(error) => {
                if !std::mem::replace(&mut asked.has_warned, true) {
                    tracing::warn!(%error, "Connect does not say which settings of a connector are passwords: those are hidden that are not known to be harmless");
                }
                Arc::new(PasswordDefinitions::Unknown)
            }
        }
    }
}

/// The settings that name classes. Without the others the plugin defines its settings and connects to nothing, and no secret is
/// sent.
fn classes(config: &BTreeMap<String, String>) -> Classes {
    config
        .iter()
        .filter(|(key, _)| names_class(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

async fn ask(
    http: &ConnectHttp,
    classes: &Classes,
) -> Result<PasswordDefinitions, KafkaConnectError> {
    let Some(class) = classes.get("connector.class") else {
        return Ok(PasswordDefinitions::Unknown);
    };
    let path = ["connector-plugins", class, "config", "validate"];
    let validated = http.request(Method::PUT, &path).json(classes);
    let validation: Validation = http.read(validated).await?;
    Ok(PasswordDefinitions::Known(validation.passwords()))
}
