//! A schema registry's REST interface: its address, the login, and TLS.

use std::fmt;

use reqwest::{Client, RequestBuilder, Url};

use super::http_address::{HttpLogin, host, innermost, parse_http_address, shown_address};
use super::kafka::{Pem, PemError};
use crate::http::{http_client, same_server};

/// Why the registry's address, login or authorities cannot be used. The text of the address is not repeated where it may hold a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryEndpointError {
    /// Not an address.
    #[error(
        "{shown} is no address of a schema registry: {reason}; expected something like http://registry:8081 or https://registry/apis/ccompat/v7"
    )]
    Url {
        /// The address as given, or the variable's name where it may hold a password.
        shown: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file with authorities.
    #[error("SCHEMA_REGISTRY_CA: {0}")]
    Pem(#[from] PemError),
    /// The settings do not go together, or the client cannot be made of them.
    #[error("{0}")]
    Settings(String),
}

/// A schema registry, by the REST interface that Confluent's has and others serve. Shown, it is the address without the login.
#[derive(Debug, Clone)]
pub struct RegistryEndpoint {
    /// Without user, password, query and fragment.
    url: Url,
    /// The login.
    pub login: Option<HttpLogin>,
    /// Authorities that its certificate may be of; those of the system if none are given.
    pub ca: Option<Pem>,
}

impl fmt::Display for RegistryEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

/// Where Apicurio's interfaces are, whichever of them an address names.
const APICURIO: &str = "/apis/";
/// Where Apicurio serves Confluent's interface.
const APICURIO_AS_CONFLUENT: &str = "/apis/ccompat/v7";

impl RegistryEndpoint {
    /// The registry at an address such as `https://user:password@registry:8081`. User and password are percent-encoded. An address
    /// of Apicurio's own interface, as its converters have it, becomes that of Confluent's beside it.
    ///
    /// # Errors
    /// [`RegistryEndpointError::Url`].
    pub fn parse(text: &str) -> Result<Self, RegistryEndpointError> {
        const ENCODED: &str = "; a password's special characters have to be percent-encoded";
        let failed = |reason: String| RegistryEndpointError::Url {
            shown: shown_address(text, "SCHEMA_REGISTRY_URL"),
            reason,
        };
        if text.contains(",http") {
            return Err(failed("it is a list; give one of them".to_owned()));
        }
        let (mut url, login) = parse_http_address(text, ENCODED).map_err(failed)?;
        if let Some((before, interface)) = url.path().split_once(APICURIO)
            && interface.starts_with("registry/")
        {
            let path = format!("{before}{APICURIO_AS_CONFLUENT}");
            url.set_path(&path);
        }
        Ok(Self {
            url,
            login,
            ca: None,
        })
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Its host, without brackets around an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        host(&self.url)
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// A client with its authorities. It follows redirects to the same server alone: our login is for nobody else.
    ///
    /// # Errors
    /// When the authorities cannot be used.
    pub fn client(
        &self,
        configure: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Client, RegistryEndpointError> {
        let settings = |what: &str, error: reqwest::Error| {
            RegistryEndpointError::Settings(format!("{what}: {}", innermost(&error)))
        };
        let mut builder = http_client().redirect(same_server(&self.url));
        if let Some(ca) = &self.ca {
            if !self.is_tls() {
                return Err(RegistryEndpointError::Settings(format!(
                    "SCHEMA_REGISTRY_CA is set, and the registry's address {self} is without TLS; write https:// or unset it"
                )));
            }
            let roots = reqwest::Certificate::from_pem_bundle(ca.expose().as_bytes());
            builder = builder
                .tls_certs_only(roots.map_err(|error| settings("SCHEMA_REGISTRY_CA", error))?);
        }
        configure(builder)
            .build()
            .map_err(|error| settings("TLS to the schema registry", error))
    }

    /// A GET with the login, of Confluent's interface.
    pub fn get(&self, client: &Client, path: &[&str]) -> RequestBuilder {
        self.get_at(client, self.url.path(), path)
    }

    /// A GET with the login, of Apicurio's own interface.
    pub fn get_of_apicurio(&self, client: &Client, path: &[&str]) -> RequestBuilder {
        let before = self.url.path().split_once(APICURIO);
        let before = before.map_or(self.url.path(), |(before, _)| before);
        let base = format!("{}/apis/registry", before.trim_end_matches('/'));
        self.get_at(client, &base, path)
    }

    fn get_at(&self, client: &Client, base: &str, path: &[&str]) -> RequestBuilder {
        let mut url = self.url.clone();
        url.set_path(base);
        if let Ok(mut segments) = url.path_segments_mut() {
            // Each segment is escaped: the name of a subject may contain any character.
            segments.pop_if_empty().extend(path);
        }
        let request = client.get(url);
        match &self.login {
            Some(login) => login.on(request),
            None => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn parsed(text: &str) -> String {
        RegistryEndpoint::parse(text).unwrap().to_string()
    }

    fn get(endpoint: &str, apicurio: bool, path: &[&str]) -> String {
        let endpoint = RegistryEndpoint::parse(endpoint).unwrap();
        let client = endpoint.client(|builder| builder).unwrap();
        let request = match apicurio {
            true => endpoint.get_of_apicurio(&client, path),
            false => endpoint.get(&client, path),
        };
        request.build().unwrap().url().to_string()
    }

    #[test]
    fn an_address_may_be_of_confluents_interface_or_of_apicurios_own() {
        assert_eq!(parsed("http://registry:8081/"), "http://registry:8081");
        for address in [
            "http://r:8080/apis/ccompat/v7",
            "http://r:8080/apis/registry/v2",
            "http://r:8080/apis/registry/v3/",
        ] {
            assert_eq!(parsed(address), "http://r:8080/apis/ccompat/v7");
        }
        assert_eq!(
            parsed("https://gate/x/apis/registry/v2"),
            "https://gate/x/apis/ccompat/v7"
        );
    }

    #[test]
    fn a_request_is_below_the_address_with_its_names_escaped() {
        assert_eq!(
            get("http://r:8081", false, &["schemas", "ids", "7"]),
            "http://r:8081/schemas/ids/7"
        );
        assert_eq!(
            get(
                "https://gate/sr/",
                false,
                &["subjects", "a/b?c", "versions", "1"]
            ),
            "https://gate/sr/subjects/a%2Fb%3Fc/versions/1"
        );
        assert_eq!(
            get(
                "http://r/x/apis/ccompat/v7",
                true,
                &["v2", "ids", "globalIds", "7"]
            ),
            "http://r/x/apis/registry/v2/ids/globalIds/7"
        );
        assert_eq!(
            get("http://r:8081", true, &["v3", "ids"]),
            "http://r:8081/apis/registry/v3/ids"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for text in [
            "",
            "registry:8081",
            "ftp://r",
            "http://a:8081,http://b:8081",
            "http://r?x=1",
            "http://u:tiger/x@r",
        ] {
            let error = RegistryEndpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains("no address of a schema registry"), "{error}");
            assert!(!error.contains("tiger"), "{error}");
        }
    }

    #[test]
    fn a_login_in_the_address_is_decoded_and_never_shown() {
        let endpoint = RegistryEndpoint::parse("http://ana:ti%2Fger@r:8081").unwrap();
        let login = endpoint.login.as_ref().unwrap();
        assert_eq!(login.username, "ana");
        assert_eq!(login.password.as_ref().unwrap().expose_secret(), "ti/ger");
        assert_eq!(endpoint.to_string(), "http://r:8081");
        assert!(!format!("{endpoint:?}").contains("ti/ger"));
    }
}
