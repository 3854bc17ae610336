//! Which of a connector's settings are secrets: those that its plugin defines as passwords, those of Kafka's clients, and those
//! whose name or value says so.

use std::collections::{BTreeMap, BTreeSet};

/// What is shown instead of a secret.
const HIDDEN: &str = "********";

/// Parts of names of secrets, in lower case, with each of `_` and `-` written as a dot.
const SECRET_NAMES: [&str; 24] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "jaas",
    "user.info",
    "userinfo",
    "authorization",
    "api.key",
    "apikey",
    "access.key",
    "accesskey",
    "account.key",
    "accountkey",
    "private.key",
    "privatekey",
    "key.pem",
    "keystore.key",
    "connection.string",
    "connectionstring",
    "signature",
];

/// Settings of Kafka's clients that its own definition has as passwords, and whose names do not say so. Certificates are among
/// them: they may stand in one text with a key.
const CLIENT_PASSWORDS: [&str; 2] = [
    "ssl.keystore.certificate.chain",
    "ssl.truststore.certificates",
];

/// A configuration to be shown: every value that may be a secret is replaced. `passwords` are the settings that the plugin defines
/// as such.
pub(super) fn redacted(
    config: &BTreeMap<String, String>,
    passwords: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let shown = |(key, value): (&String, &String)| {
        let value = if is_placeholder(value) {
            value.clone()
        } else if passwords.contains(key) || is_secret_name(key) || is_secret_value(value) {
            HIDDEN.to_owned()
        } else {
            without_password_in_url(value)
        };
        (key.clone(), value)
    };
    config.iter().map(shown).collect()
}

/// A message with every secret of a configuration replaced.
pub(super) fn without_secrets(
    message: &str,
    config: &BTreeMap<String, String>,
    passwords: &BTreeSet<String>,
) -> String {
    let shown = redacted(config, passwords);
    let mut secrets: Vec<&str> = config
        .iter()
        .filter(|(key, value)| shown.get(*key) != Some(*value) && !value.is_empty())
        .map(|(_, value)| value.as_str())
        .collect();
    // A secret may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(message.to_owned(), |text, secret| {
        text.replace(secret, HIDDEN)
    })
}

/// `${file:/run/secrets/db:password}`, as Connect's providers resolve it.
fn is_placeholder(value: &str) -> bool {
    let inner = value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| inner.contains(':') && !inner.contains(['$', '{', '}']))
}

fn is_secret_name(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['_', '-'], ".");
    SECRET_NAMES.iter().any(|part| key.contains(part))
        || key.ends_with("ssl.key")
        || CLIENT_PASSWORDS.iter().any(|name| key.ends_with(name))
}

/// A key, or the parameters of a URL or of a list with one that is a secret.
fn is_secret_value(value: &str) -> bool {
    if value.contains("PRIVATE KEY-----") {
        return true;
    }
    value
        .split(['?', '&', ';', ',', ' ', '\n'])
        .filter_map(|part| part.split_once('='))
        .any(|(name, value)| !value.is_empty() && is_secret_name(name.trim()))
}

/// The value with the password in each `scheme://user:password@host` replaced.
fn without_password_in_url(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        shown.push_str(before);
        // A password may hold a slash: everything up to the last @ before white space belongs to the login.
        let word_end = after.find(char::is_whitespace).unwrap_or(after.len());
        let login_end = after[..word_end].rfind('@');
        rest = match login_end.map(|end| after.split_at(end)) {
            Some((login, rest)) => {
                match login.split_once(':') {
                    Some((user, _)) => {
                        shown.push_str(user);
                        shown.push(':');
                        shown.push_str(HIDDEN);
                    }
                    None => shown.push_str(login),
                }
                rest
            }
            None => after,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(key: &str, value: &str) -> String {
        let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        redacted(&config, &BTreeSet::new())[key].clone()
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for key in [
            "database.password",
            "producer.override.sasl.jaas.config",
            "producer.override.ssl.keystore.key",
            "producer.override.ssl.keystore.certificate.chain",
            "producer.override.sasl.oauthbearer.client.credentials.client.secret",
            "schema.history.internal.consumer.ssl.key.password",
            "value.converter.basic.auth.user.info",
            "value.converter.schema.registry.basic.auth.user.info",
            "value.converter.schema.registry.ssl.keystore.password",
            "value.converter.bearer.auth.token",
            "transforms.http.headers.Authorization",
            "aws_secret_access_key",
            "azure.storage.account-key",
            "gcp.credentials.json",
            "x.API_KEY",
        ] {
            assert_eq!(shown(key, "tiger"), HIDDEN, "{key}");
        }
        for key in [
            "database.user",
            "key.converter",
            "message.key.columns",
            "producer.override.ssl.keystore.type",
            "topic.prefix",
        ] {
            assert_eq!(shown(key, "tiger"), "tiger", "{key}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_values() {
        for (value, expected) in [
            (
                "https://me:tiger@registry:8081",
                "https://me:********@registry:8081",
            ),
            ("https://a:ti/ger@x,https://b@y", "https://a:********@y"),
            ("https://me@registry", "https://me@registry"),
            ("http://registry:8081/?x=a@b", "http://registry:********@b"),
            ("jdbc:postgresql://h/d?user=u&password=tiger", HIDDEN),
            ("AccountName=x;AccountKey=tiger", HIDDEN),
            ("-----BEGIN PRIVATE KEY-----\ntiger", HIDDEN),
            ("a=b,c=d", "a=b,c=d"),
        ] {
            assert_eq!(shown("some.setting", value), expected);
        }
    }

    #[test]
    fn what_a_plugin_defines_as_a_password_is_one_and_placeholders_stay() {
        let config = BTreeMap::from([
            ("odd.name".to_owned(), "tiger".to_owned()),
            (
                "database.password".to_owned(),
                "${file:/run/secrets/db:password}".to_owned(),
            ),
            ("other.password".to_owned(), "${tiger".to_owned()),
        ]);
        let shown = redacted(&config, &BTreeSet::from(["odd.name".to_owned()]));
        assert_eq!(shown["odd.name"], HIDDEN);
        assert_eq!(
            shown["database.password"],
            "${file:/run/secrets/db:password}"
        );
        assert_eq!(shown["other.password"], HIDDEN);
    }

    #[test]
    fn a_refusal_is_repeated_without_the_secrets() {
        let config = BTreeMap::from([
            ("a.password".to_owned(), "tiger".to_owned()),
            ("b.password".to_owned(), "tiger-2".to_owned()),
            ("c".to_owned(), "lion".to_owned()),
        ]);
        let text = without_secrets("tiger-2, tiger and lion", &config, &BTreeSet::new());
        assert_eq!(text, "********, ******** and lion");
    }
}
