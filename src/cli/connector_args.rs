//! Arguments for a connector of ours, shared by all commands that may create one.

use std::path::PathBuf;

use super::secrets::refuse_secret;
use crate::debezium::ConnectorProfile;
use crate::pipeline::{ConnectorRequest, Failure};
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::read_properties;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConnectorArgs {
    /// Settings of our connector; low-latency unless told otherwise
    #[arg(long, value_enum, value_name = "PROFILE")]
    connector_profile: Option<ConnectorProfile>,
    /// A setting of our connector, over the profile's (repeatable). For what is no secret
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    connector_config: Vec<(String, String)>,
    /// Settings of our connector over the profile's, in a file of KEY=VALUE lines: for secrets
    #[arg(long, value_name = "FILE")]
    connector_config_file: Option<PathBuf>,
}

impl ConnectorArgs {
    /// What is asked of a connector.
    ///
    /// # Errors
    /// When an argument holds a secret, or the file cannot be read.
    pub(super) fn request(self) -> Result<ConnectorRequest, Failure> {
        let mut overrides = match &self.connector_config_file {
            None => Vec::new(),
            Some(path) => read_properties(path).map_err(|error| {
                let path = path.display();
                Failure::usage(anyhow::anyhow!("--connector-config-file {path}: {error}"))
            })?,
        };
        for (key, value) in self.connector_config {
            let way_out = "write it into a file for --connector-config-file, or let Connect fill it in (such as ${file:PATH:NAME})";
            refuse_secret("--connector-config", &key, &value, way_out)?;
            overrides.push((key, value));
        }
        Ok(ConnectorRequest {
            connector: None,
            profile: self.connector_profile,
            overrides,
            exactly_once: false,
        })
    }
}

/// The same, or one that is there already.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AnyConnectorArgs {
    #[command(flatten)]
    ours: ConnectorArgs,
    /// Use this connector as it is
    #[arg(long, value_name = "NAME", conflicts_with_all = ["connector_profile", "connector_config", "connector_config_file"])]
    connector: Option<String>,
    /// Let Kafka Connect deliver each record exactly once, in transactions of Kafka's: its worker has to support that
    /// (exactly.once.source.support), as those of a local stack that this command starts then do
    #[arg(long, conflicts_with = "connector")]
    connect_exactly_once: bool,
}

impl AnyConnectorArgs {
    /// What is asked of the connector of these capture paths.
    ///
    /// # Errors
    /// As [`ConnectorArgs::request`]; and where no path has a connector that could deliver exactly once.
    pub(super) fn request(self, paths: &[CapturePath]) -> Result<ConnectorRequest, Failure> {
        if self.connect_exactly_once && !paths.contains(&CapturePath::Debezium) {
            return Err(Failure::usage(anyhow::anyhow!(
                "--connect-exactly-once is about Kafka Connect, which no capture path of this run goes through; --capture debezium or both does"
            )));
        }
        Ok(ConnectorRequest {
            connector: self.connector,
            exactly_once: self.connect_exactly_once,
            ..self.ours.request()?
        })
    }
}

/// `KEY=VALUE`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        config: &[(&str, &str)],
        file: Option<PathBuf>,
    ) -> Result<Vec<(String, String)>, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let args = ConnectorArgs {
            connector_profile: None,
            connector_config: config.iter().map(owned).collect(),
            connector_config_file: file,
        };
        let request = args.request();
        request
            .map(|request| request.overrides)
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_argument_holds_no_secret_and_a_file_may() {
        for (key, value) in [
            ("database.password", "tiger"),
            ("value.converter.basic.auth.user.info", "me:tiger"),
            ("registry.url", "https://me:tiger@r"),
            ("odd", "user=me;password=tiger"),
        ] {
            let error = request(&[(key, value)], None).unwrap_err();
            assert!(error.contains("--connector-config-file"), "{error}");
            assert!(error.contains(key) && !error.contains("tiger"), "{error}");
        }
        let harmless = [
            ("database.password", "${file:/run/secrets/db:password}"),
            ("value.converter.basic.auth.credentials.source", "USER_INFO"),
            ("tombstones.on.delete", "false"),
        ];
        assert_eq!(request(&harmless, None).unwrap().len(), 3);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("connector.properties");
        std::fs::write(&file, "database.password = tiger\npoll.interval.ms=5\n").unwrap();
        let both = request(&[("poll.interval.ms", "7")], Some(file)).unwrap();
        let both: std::collections::BTreeMap<_, _> = both.into_iter().collect();
        assert_eq!(both["database.password"], "tiger");
        assert_eq!(both["poll.interval.ms"], "7");
        let absent = request(&[], Some(folder.path().join("absent"))).unwrap_err();
        assert!(absent.contains("absent"), "{absent}");
    }
}
