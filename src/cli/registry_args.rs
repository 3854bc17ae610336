//! Arguments for a schema registry: its address, who we are there, and TLS.

use std::path::PathBuf;

use cdc_bench_stack::{HttpLogin, Pem, RegistryEndpoint, RegistryEndpointError};
use secrecy::{ExposeSecret, SecretString};

use super::secrets::{Prompt, secret};
use crate::pipeline::Failure;

/// The registry that the schemas of records are of.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    next_help_heading = "Schema registry (password: SCHEMA_REGISTRY_PASSWORD, also as ..._FILE)"
)]
pub(super) struct RegistryArgs {
    /// The registry's address, such as http://registry:8081 or http://apicurio:8080/apis/ccompat/v7 [env: SCHEMA_REGISTRY_URL]
    #[arg(long, value_name = "URL")]
    schema_registry_url: Option<SecretString>,
    /// User, by basic authentication
    #[arg(long, env = "SCHEMA_REGISTRY_USERNAME", value_name = "USER")]
    schema_registry_username: Option<String>,
    /// Authorities that its certificate may be of, PEM [default: the system's]
    #[arg(long, env = "SCHEMA_REGISTRY_CA", value_name = "FILE")]
    schema_registry_ca: Option<PathBuf>,
}

impl RegistryArgs {
    /// The registry, with login and authorities; `None` if no address is given, nor `known` from a connector's configuration.
    ///
    /// # Errors
    /// When they do not go together, one lacks, or a file cannot be read.
    pub(super) fn resolve(
        self,
        known: Option<&str>,
        prompt: Prompt,
    ) -> Result<Option<RegistryEndpoint>, Failure> {
        let refused = |text: &str| Err(Failure::usage(anyhow::anyhow!(text.to_owned())));
        let from_argument = self.schema_registry_url.is_some();
        let url = match self.schema_registry_url {
            Some(url) => Some(url),
            None => secret("SCHEMA_REGISTRY_URL")?.or_else(|| known.map(SecretString::from)),
        };
        let Some(url) = url else {
            return Ok(None);
        };
        // Its text may hold a password even where it is no address.
        if from_argument && url.expose_secret().contains('@') {
            return refused(
                "--schema-registry-url has a login in it, which every user of this machine can list; set SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_URL in the environment",
            );
        }
        let mut endpoint = RegistryEndpoint::parse(url.expose_secret()).map_err(Failure::usage)?;
        let username = self
            .schema_registry_username
            .filter(|user| !user.is_empty());
        let password = secret("SCHEMA_REGISTRY_PASSWORD")?;
        let is_set = password.is_some();
        endpoint.login = match (endpoint.login.take(), username) {
            (Some(_), Some(_)) => {
                return refused(
                    "SCHEMA_REGISTRY_URL has a user, and SCHEMA_REGISTRY_USERNAME is set, too; set one of them",
                );
            }
            (
                Some(HttpLogin {
                    password: Some(_), ..
                }),
                None,
            ) if is_set => {
                return refused(
                    "SCHEMA_REGISTRY_URL has a password, and SCHEMA_REGISTRY_PASSWORD is set, too; set one of them",
                );
            }
            (
                Some(
                    login @ HttpLogin {
                        password: Some(_), ..
                    },
                ),
                None,
            ) => Some(login),
            (Some(HttpLogin { username, .. }), None) | (None, Some(username)) => {
                let whose =
                    format!("password of \"{username}\" for the schema registry at {endpoint}");
                let password = match password {
                    Some(password) => password,
                    None => prompt.ask("SCHEMA_REGISTRY_PASSWORD", &whose)?,
                };
                Some(HttpLogin {
                    password: Some(password),
                    username,
                })
            }
            (None, None) if is_set => {
                return refused(
                    "SCHEMA_REGISTRY_PASSWORD is set without a user; set SCHEMA_REGISTRY_USERNAME",
                );
            }
            (None, None) => None,
        };
        let ca = self
            .schema_registry_ca
            .filter(|path| !path.as_os_str().is_empty());
        let ca = ca.map(Pem::read).transpose();
        endpoint.ca = ca.map_err(|error| Failure::usage(RegistryEndpointError::Pem(error)))?;
        // Authorities that cannot be used are found here and not by the first request.
        endpoint.client(|builder| builder).map_err(Failure::usage)?;
        Ok(Some(endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(args: RegistryArgs, known: Option<&str>) -> Result<Option<String>, String> {
        let endpoint = args.resolve(known, Prompt::at_terminal());
        endpoint
            .map(|endpoint| endpoint.map(|endpoint| endpoint.to_string()))
            .map_err(|failure| failure.to_string())
    }

    fn at(url: &str) -> RegistryArgs {
        RegistryArgs {
            schema_registry_url: Some(url.into()),
            ..RegistryArgs::default()
        }
    }

    #[test]
    fn what_is_said_wins_over_what_a_connector_has() {
        let known = Some("http://connectors:8081");
        assert_eq!(resolved(RegistryArgs::default(), None), Ok(None));
        assert_eq!(
            resolved(RegistryArgs::default(), known).unwrap().unwrap(),
            "http://connectors:8081"
        );
        assert_eq!(
            resolved(at("http://mine:8081"), known).unwrap().unwrap(),
            "http://mine:8081"
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let error = resolved(at("http://ana:tiger@r:8081"), None).unwrap_err();
        assert!(
            error.contains("SCHEMA_REGISTRY_PASSWORD") && !error.contains("tiger"),
            "{error}"
        );
        let error = resolved(at("registry"), None).unwrap_err();
        assert!(error.contains("no address"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            &file,
            "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let args = RegistryArgs {
            schema_registry_ca: Some(file.path().to_owned()),
            ..at("http://r:8081")
        };
        let error = resolved(args, None).unwrap_err();
        assert!(error.contains("https://"), "{error}");
    }
}
