//! The parameters themselves, and how those of one source complete those of another.

use std::collections::BTreeMap;
use std::fmt;

use super::error::{ConnectionWarning, InvalidServer};
use super::keywords;

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

    /// Sets a parameter that a text names. A name that is near to none of libpq's is not repeated in the error: it may be the end of
    /// a password that is not quoted, or not encoded.
    pub(super) fn set_named(&mut self, keyword: &str, value: &str) -> Result<(), InvalidServer> {
        self.set(keyword, value).map_err(|error| match error {
            InvalidServer::UnknownParameter { nearest: None, .. } => InvalidServer::Syntax(
                "one of its parameters is none of libpq's; it is not repeated, as it may be a part of a password: with a blank in it, a password stands in single quotes, and in a URL it is percent-encoded"
                    .to_owned(),
            ),
            error => error,
        })
    }

    /// Sets a known parameter, unless the value is empty.
    pub(super) fn put(&mut self, keyword: &'static str, value: String) {
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
    pub(super) fn without_effect(&self) -> impl Iterator<Item = ConnectionWarning> {
        let given = self
            .values
            .keys()
            .filter(|keyword| !keywords::is_honoured(keyword));
        given.map(|keyword| ConnectionWarning::NotHonoured(keyword))
    }
}
