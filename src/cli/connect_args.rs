//! Arguments for Kafka Connect: its address, who we are there, and TLS.

use std::path::PathBuf;

use cdc_bench_stack::{
    ConnectEndpoint, ConnectEndpointError, ConnectTls, HttpLogin, Pem, PemError,
};
use secrecy::{ExposeSecret, SecretString};

use super::secrets::{Prompt, secret};
use crate::pipeline::Failure;

/// Kafka Connect's REST interface.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Kafka Connect (password: CONNECT_PASSWORD, also as ..._FILE)")]
pub(super) struct ConnectArgs {
    /// Kafka Connect's address, such as http://connect:8083 or https://gateway/connect [env: CONNECT_URL]
    #[arg(long, global = true, value_name = "URL")]
    connect_url: Option<SecretString>,
    /// User, by basic authentication
    #[arg(long, global = true, env = "CONNECT_USERNAME", value_name = "USER")]
    connect_username: Option<String>,
    /// Authorities that its certificate may be of, PEM [default: the system's]
    #[arg(long, global = true, env = "CONNECT_SSL_CA", value_name = "FILE")]
    connect_ssl_ca: Option<PathBuf>,
    /// Our certificate, PEM
    #[arg(
        long,
        global = true,
        env = "CONNECT_SSL_CERTIFICATE",
        value_name = "FILE"
    )]
    connect_ssl_certificate: Option<PathBuf>,
    /// Its key, PEM [default: in the certificate's file]
    #[arg(long, global = true, env = "CONNECT_SSL_KEY", value_name = "FILE")]
    connect_ssl_key: Option<PathBuf>,
}

/// The address that was given.
pub(super) struct ConnectAddress(SecretString);

impl ConnectArgs {
    /// The address, from the argument or from CONNECT_URL.
    ///
    /// # Errors
    /// When the argument has a password in it, or the variable's file cannot be read.
    pub(super) fn address(&self) -> Result<Option<ConnectAddress>, Failure> {
        let Some(url) = &self.connect_url else {
            return Ok(secret("CONNECT_URL")?.map(ConnectAddress));
        };
        let endpoint = ConnectEndpoint::parse(url.expose_secret());
        // Its text may hold a password even where it is no address.
        let has_login = match &endpoint {
            Ok(endpoint) => endpoint
                .login
                .as_ref()
                .is_some_and(|login| login.password.is_some()),
            Err(_) => url.expose_secret().contains('@'),
        };
        if has_login {
            return Err(Failure::usage(anyhow::anyhow!(
                "--connect-url has a password in it, which every user of this machine can list; set CONNECT_PASSWORD, or CONNECT_URL in the environment"
            )));
        }
        Ok(Some(ConnectAddress(url.clone())))
    }

    /// The endpoint at this address, with login and certificates.
    ///
    /// # Errors
    /// When they do not go together, one lacks, or a file cannot be read.
    pub(super) fn resolve(
        self,
        address: &ConnectAddress,
        prompt: Prompt,
    ) -> Result<ConnectEndpoint, Failure> {
        let refused = |text: String| Failure::usage(anyhow::anyhow!(text));
        let mut endpoint =
            ConnectEndpoint::parse(address.0.expose_secret()).map_err(Failure::usage)?;
        let username = self.connect_username.filter(|user| !user.is_empty());
        let (in_url, password_in_url) = match endpoint.login.take() {
            Some(login) => (Some(login.username), login.password),
            None => (None, None),
        };
        let username = match (in_url, username) {
            (Some(_), Some(_)) => {
                return Err(refused(
                    "CONNECT_URL has a user, and CONNECT_USERNAME is set, too; set one of them"
                        .to_owned(),
                ));
            }
            (Some(user), None) | (None, Some(user)) => Some(user),
            (None, None) => None,
        };
        let password = secret("CONNECT_PASSWORD")?;
        endpoint.login = match (username, password_in_url) {
            (Some(_), Some(_)) if password.is_some() => {
                return Err(refused(
                    "CONNECT_URL has a password, and CONNECT_PASSWORD is set, too; set one of them"
                        .to_owned(),
                ));
            }
            (Some(username), Some(password)) => Some(HttpLogin {
                username,
                password: Some(password),
            }),
            (Some(username), None) => {
                let whose = format!("password of \"{username}\" for Kafka Connect at {endpoint}");
                let password = match password {
                    Some(password) => password,
                    None => prompt.ask("CONNECT_PASSWORD", &whose)?,
                };
                Some(HttpLogin {
                    username,
                    password: Some(password),
                })
            }
            (None, _) if password.is_some() => {
                return Err(refused(
                    "CONNECT_PASSWORD is set without a user; set CONNECT_USERNAME".to_owned(),
                ));
            }
            (None, _) => None,
        };
        endpoint.tls = ConnectTls {
            ca: pem("CONNECT_SSL_CA", self.connect_ssl_ca)?,
            certificate: pem("CONNECT_SSL_CERTIFICATE", self.connect_ssl_certificate)?,
            key: pem("CONNECT_SSL_KEY", self.connect_ssl_key)?,
        };
        if endpoint.tls.is_set() && !endpoint.is_tls() {
            return Err(refused(format!(
                "certificates are set for Kafka Connect (CONNECT_SSL_...), and its address {endpoint} is without TLS; write https:// or unset them"
            )));
        }
        // Certificates that cannot be used are found here and not by the first request.
        endpoint.client(|builder| builder).map_err(Failure::usage)?;
        Ok(endpoint)
    }
}

fn pem(variable: &'static str, path: Option<PathBuf>) -> Result<Option<Pem>, Failure> {
    let path = path.filter(|path| !path.as_os_str().is_empty());
    let read = path.map(Pem::read).transpose();
    read.map_err(|error: PemError| Failure::usage(ConnectEndpointError::Pem { variable, error }))
}
