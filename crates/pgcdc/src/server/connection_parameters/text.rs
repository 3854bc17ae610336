//! Connection strings: a URI, or pairs.

use std::str::FromStr;

use super::parameters::ConnectionParameters;
use super::{InvalidServer, keyword_value, uri};

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
