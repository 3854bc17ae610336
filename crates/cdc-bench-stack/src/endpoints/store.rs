//! The store: its connection string and the login in it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// What stays as it is in user and password of a connection string.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A MongoDB-protocol server and database.
#[derive(Debug, Clone)]
pub struct StoreEndpoint {
    /// Connection string; it may hold a password.
    pub uri: SecretString,
    /// Database of the read model.
    pub database: String,
}

impl StoreEndpoint {
    /// Host and port of the one server in the connection string; `None` if there are several, or their names are to be looked up.
    #[must_use]
    pub fn only_host(&self) -> Option<String> {
        let parts = UriParts::of(self.uri.expose_secret());
        let host = &parts.rest[..parts.hosts_end()];
        let is_one = parts.scheme == "mongodb" && !host.contains(',') && host.contains(':');
        is_one.then(|| host.to_owned())
    }

    /// The same server over a port of this machine.
    #[must_use]
    pub fn on_loopback(&self, port: u16) -> Self {
        let uri = self.uri.expose_secret();
        let parts = UriParts::of(uri);
        let login_end = uri.len() - parts.rest.len();
        let options = &parts.rest[parts.hosts_end()..];
        Self {
            uri: format!("{}127.0.0.1:{port}{options}", &uri[..login_end]).into(),
            database: self.database.clone(),
        }
    }
}

/// Why a login cannot be put into a connection string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreLoginError {
    /// The connection string has a user.
    #[error("MONGODB_URI has a user, and MONGODB_USERNAME is set, too; set one of them")]
    TwoUsers,
    /// The connection string has a password.
    #[error("MONGODB_URI has a password, and MONGODB_PASSWORD is set, too; set one of them")]
    TwoPasswords,
    /// A password for nobody.
    #[error(
        "MONGODB_PASSWORD is set without a user; set MONGODB_USERNAME, or a user in MONGODB_URI"
    )]
    NoUser,
}

/// The parts of a connection string around its login.
struct UriParts<'u> {
    scheme: &'u str,
    /// User, percent-encoded.
    user: Option<&'u str>,
    /// Password, percent-encoded.
    password: Option<&'u str>,
    /// Hosts, database and options.
    rest: &'u str,
}

impl<'u> UriParts<'u> {
    /// Where the hosts in the rest end.
    fn hosts_end(&self) -> usize {
        self.rest.find(['/', '?']).unwrap_or(self.rest.len())
    }

    fn of(uri: &'u str) -> Self {
        let (scheme, rest) = uri.split_once("://").unwrap_or(("mongodb", uri));
        // A password with a slash that is not encoded is the driver's to refuse.
        let hosts_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let Some((login, _)) = rest[..hosts_end].rsplit_once('@') else {
            return Self {
                scheme,
                user: None,
                password: None,
                rest,
            };
        };
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        Self {
            scheme,
            user: Some(user).filter(|user| !user.is_empty()),
            password,
            rest: &rest[login.len() + 1..],
        }
    }
}

/// Whether a connection string has a user, and whether it has a password.
#[must_use]
pub fn login_of(uri: &SecretString) -> (bool, bool) {
    let parts = UriParts::of(uri.expose_secret());
    (parts.user.is_some(), parts.password.is_some())
}

/// Whether a connection string's user logs in with a password: by SCRAM, `PLAIN`, or where no mechanism is named. A certificate, a
/// token and a ticket are logins without one.
#[must_use]
pub fn takes_password(uri: &SecretString) -> bool {
    let rest = UriParts::of(uri.expose_secret()).rest;
    let options = rest.split_once('?').map_or("", |(_, options)| options);
    let mut options = options.split('&').filter_map(|pair| pair.split_once('='));
    let mechanism = options.find(|(name, _)| name.eq_ignore_ascii_case("authMechanism"));
    mechanism.is_none_or(|(_, mechanism)| {
        let mechanism = mechanism.to_ascii_uppercase();
        mechanism.is_empty() || mechanism == "PLAIN" || mechanism.starts_with("SCRAM-")
    })
}

/// The connection string with a user and a password from elsewhere.
///
/// # Errors
/// When it has them already, or there is no user.
pub fn with_login(
    uri: &SecretString,
    username: Option<&str>,
    password: Option<&SecretString>,
) -> Result<SecretString, StoreLoginError> {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let parts = UriParts::of(uri.expose_secret());
    let user = match (parts.user, username) {
        (Some(_), Some(_)) => return Err(StoreLoginError::TwoUsers),
        (Some(user), None) => Some(user.to_owned()),
        (None, Some(user)) => Some(encoded(user)),
        (None, None) => None,
    };
    let password = match (parts.password, password) {
        (Some(_), Some(_)) => return Err(StoreLoginError::TwoPasswords),
        (Some(password), None) => Some(password.to_owned()),
        (None, Some(password)) => Some(encoded(password.expose_secret())),
        (None, None) => None,
    };
    let login = match (user, password) {
        (Some(user), Some(password)) => format!("{user}:{password}@"),
        (Some(user), None) => format!("{user}@"),
        (None, Some(_)) if parts.password.is_none() => return Err(StoreLoginError::NoUser),
        (None, _) => return Ok(uri.clone()),
    };
    Ok(format!("{}://{login}{}", parts.scheme, parts.rest).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(
        uri: &str,
        username: Option<&str>,
        password: Option<&str>,
    ) -> Result<String, StoreLoginError> {
        let password = password.map(|text| SecretString::from(text.to_owned()));
        let uri = SecretString::from(uri.to_owned());
        with_login(&uri, username, password.as_ref()).map(|uri| uri.expose_secret().to_owned())
    }

    #[test]
    fn a_login_from_variables_is_encoded_into_the_connection_string() {
        let uri = "mongodb://a:1,b:2/?authSource=admin";
        assert_eq!(
            joined(uri, Some("me@x"), Some("p@ss:w/rd#1 %")).unwrap(),
            "mongodb://me%40x:p%40ss%3Aw%2Frd%231%20%25@a:1,b:2/?authSource=admin"
        );
        assert_eq!(joined(uri, None, None).unwrap(), uri);
        assert_eq!(
            joined("mongodb+srv://me@db.example/?x=a@b", None, Some("é")).unwrap(),
            "mongodb+srv://me:%C3%A9@db.example/?x=a@b"
        );
        assert_eq!(
            joined("mongodb://h", Some("CN=bench,O=x"), None).unwrap(),
            "mongodb://CN%3Dbench%2CO%3Dx@h"
        );
    }

    #[test]
    fn only_some_mechanisms_take_a_password() {
        for (options, expected) in [
            ("", true),
            ("?authSource=admin", true),
            ("?authMechanism=SCRAM-SHA-256", true),
            ("?w=1&authmechanism=plain", true),
            ("?authMechanism=MONGODB-X509", false),
            ("?authMechanism=MONGODB-OIDC&appName=x", false),
            ("?authMechanism=GSSAPI", false),
            ("?authMechanism=MONGODB-AWS", false),
            ("?appName=authMechanism=GSSAPI", true),
        ] {
            let uri = format!("mongodb://me@h/{options}").into();
            assert_eq!(takes_password(&uri), expected, "{options}");
        }
    }

    #[test]
    fn two_logins_are_refused() {
        let uri = "mongodb://me:hidden@h";
        assert_eq!(
            joined(uri, Some("you"), None),
            Err(StoreLoginError::TwoUsers)
        );
        assert_eq!(
            joined(uri, None, Some("x")),
            Err(StoreLoginError::TwoPasswords)
        );
        assert_eq!(
            joined("mongodb://h", None, Some("x")),
            Err(StoreLoginError::NoUser)
        );
        assert_eq!(joined(uri, None, None).unwrap(), uri);
    }
}
