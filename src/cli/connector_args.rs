//! Arguments for a connector of ours, shared by all commands that may create one.

use crate::debezium::ConnectorProfile;
use crate::pipeline::ConnectorRequest;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConnectorArgs {
    /// Settings of our connector; low-latency unless told otherwise
    #[arg(long, value_enum, value_name = "PROFILE")]
    connector_profile: Option<ConnectorProfile>,
    /// A setting of our connector, over the profile's (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    connector_config: Vec<(String, String)>,
}

impl ConnectorArgs {
    pub(super) fn request(self, connector: Option<String>) -> ConnectorRequest {
        ConnectorRequest {
            connector,
            profile: self.connector_profile,
            overrides: self.connector_config,
        }
    }
}

/// The same, or one that is there already.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AnyConnectorArgs {
    #[command(flatten)]
    ours: ConnectorArgs,
    /// Use this connector as it is
    #[arg(long, value_name = "NAME", conflicts_with_all = ["connector_profile", "connector_config"])]
    connector: Option<String>,
}

impl AnyConnectorArgs {
    pub(super) fn request(self) -> ConnectorRequest {
        self.ours.request(self.connector)
    }
}

/// `KEY=VALUE`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
