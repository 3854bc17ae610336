//! The address of a REST interface, with or without a login in it.

use percent_encoding::percent_decode_str;
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};

/// A user of a REST interface, by basic authentication.
#[derive(Debug, Clone)]
pub struct HttpLogin {
    /// User.
    pub username: String,
    /// Password; `None` where the address has a user alone.
    pub password: Option<SecretString>,
}

impl HttpLogin {
    /// The request with the login.
    pub(super) fn on(&self, request: RequestBuilder) -> RequestBuilder {
        let password = self.password.as_ref().map(ExposeSecret::expose_secret);
        request.basic_auth(&self.username, password)
    }
}

/// The address without user, password, query and fragment, and the login that it had. User and password are percent-encoded.
/// `encode` advises how a password's special characters are given.
///
/// # Errors
/// What is wrong with the address; its text is not repeated.
pub(super) fn parse_http_address(
    text: &str,
    encode: &str,
) -> Result<(Url, Option<HttpLogin>), String> {
    let hint = if text.contains('@') { encode } else { "" };
    let mut url = Url::parse(text.trim()).map_err(|error| format!("{error}{hint}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it does not begin with http:// or https://".to_owned());
    }
    // The rest of a password that has a slash or a question mark.
    if text.contains('@') && url.username().is_empty() && url.password().is_none() {
        return Err(format!("there is an @ after the host{encode}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "it has a query or a fragment, which no request of ours would carry{hint}"
        ));
    }
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded
            .map(|text| text.into_owned())
            .map_err(|_| "its user or password is not UTF-8".to_owned())
    };
    let password = url.password().map(decoded).transpose()?;
    let username = decoded(url.username())?;
    let login = (!username.is_empty() || password.is_some()).then(|| HttpLogin {
        username,
        password: password.map(SecretString::from),
    });
    // These fail for addresses without a host only.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url, login))
}

/// An address as an error may show it: not where it may hold a password, but by the variable that it is in.
pub(super) fn shown_address(text: &str, variable: &str) -> String {
    if text.contains('@') {
        variable.to_owned()
    } else {
        format!("{text:?}")
    }
}

/// The host of an address, without brackets around an IPv6 address.
pub(super) fn host(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// An error's innermost cause: what the outer ones say is that there was one.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
