//! The parameters of a connection as libpq takes them: from a connection string, the environment, a service file, a password
//! file.

mod environment;
mod error;
mod hosts;
mod keyword_value;
mod keywords;
mod password_file;
mod service_file;
mod uri;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub use environment::LibpqEnvironment;
pub use error::{ConnectionWarning, InvalidServer};
pub use hosts::ServerList;

/// Parameters of a connection, by libpq's names. `Debug` shows no password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnectionParameters {
    values: BTreeMap<&'static str, String>,
}

/// Parameters whose values are secret.
const SECRETS: [&str; 5] = [
    "oauth_client_secret",
    "password",
    "scram_client_key",
    "scram_server_key",
    "sslpassword",
];

impl fmt::Debug for ConnectionParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.values.iter().map(|(keyword, value)| {
            let value = if SECRETS.contains(keyword) {
                "********"
            } else {
                value
            };
            (keyword, value)
        });
        f.debug_map().entries(shown).finish()
    }
}

impl FromStr for ConnectionParameters {
    type Err = InvalidServer;

    /// Of a URI (`postgresql://...`) or of pairs (`host=... dbname=...`).
    ///
    /// # Errors
    /// When it is neither, or holds a parameter that libpq does not know.
    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let schemes = ["postgresql://", "postgres://"];
        if let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) {
            return uri::parse(rest);
        }
        if text
            .split_once("://")
            .is_some_and(|(scheme, _)| !scheme.contains('='))
        {
            return Err(InvalidServer::Syntax(
                "its scheme is not postgresql".to_owned(),
            ));
        }
        keyword_value::parse(text)
    }
}

impl ConnectionParameters {
    /// The value of a parameter; an empty one is none.
    #[must_use]
    pub fn get(&self, keyword: &str) -> Option<&str> {
        let value = self.values.get(keyword).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// When libpq does not know it.
    pub fn set(&mut self, keyword: &str, value: &str) -> Result<(), InvalidServer> {
        let known = keywords::find(keyword).ok_or_else(|| InvalidServer::UnknownParameter {
            parameter: keyword.to_owned(),
            nearest: keywords::nearest(keyword),
        })?;
        self.values.insert(known, value.to_owned());
        Ok(())
    }

    /// Sets a known parameter, unless the value is empty.
    fn put(&mut self, keyword: &'static str, value: String) {
        if !value.is_empty() {
            self.values.insert(keyword, value);
        }
    }

    /// These parameters, and those of `other` that are not among them. The address of another host is not taken.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        let has_host = self.get("host").or(self.get("hostaddr")).is_some();
        for (keyword, value) in other.values {
            if !(has_host && matches!(keyword, "host" | "hostaddr")) {
                self.values.entry(keyword).or_insert(value);
            }
        }
        self
    }

    /// Whether one of them is secret.
    #[must_use]
    pub fn hold_secrets(&self) -> bool {
        SECRETS.iter().any(|keyword| self.get(keyword).is_some())
    }

    /// The parameters that are given and have no effect.
    fn without_effect(&self) -> impl Iterator<Item = ConnectionWarning> {
        let given = self
            .values
            .keys()
            .filter(|keyword| !keywords::is_honoured(keyword));
        given.map(|keyword| ConnectionWarning::NotHonoured(keyword))
    }
}

#[cfg(test)]
mod tests;
