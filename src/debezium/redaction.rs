//! A connector's configuration, and texts about it, without the secrets in it.

mod harmless;
mod secret_text;

use std::collections::{BTreeMap, BTreeSet};

use self::harmless::is_harmless;
use self::secret_text::{
    HIDDEN, Secret, is_secret_name, is_secret_value, secret_parts, without_password_in_url,
};

pub(super) use self::harmless::names_class;

/// What Connect says of the settings of a configuration. Secrets are told by names and values besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PasswordDefinitions {
    /// The plugin, its converters and its transforms define these as passwords.
    Known(BTreeSet<String>),
    /// Connect does not say: any setting may be one, unless it is known to be harmless.
    Unknown,
}

impl PasswordDefinitions {
    fn may_include(&self, key: &str, value: &str) -> bool {
        match self {
            Self::Known(passwords) => passwords.contains(key),
            Self::Unknown => !is_harmless(key, value),
        }
    }

    fn secret(&self, key: &str, value: &str) -> Option<Secret> {
        if value.is_empty() || is_whole_reference(value) {
            None
        } else if self.may_include(key, value) || is_secret_name(key) || is_secret_value(value) {
            Some(Secret::Whole)
        } else if without_password_in_url(value) != value {
            Some(Secret::InUrl)
        } else {
            None
        }
    }
}

/// Whether a setting shows by its name or value that it holds a secret.
pub(crate) fn holds_secret(key: &str, value: &str) -> bool {
    let by_itself = PasswordDefinitions::Known(BTreeSet::new());
    by_itself.secret(key, value).is_some()
}

/// A configuration to be shown: every value that may be a secret is replaced.
pub(super) fn redacted(
    config: &BTreeMap<String, String>,
    passwords: &PasswordDefinitions,
) -> BTreeMap<String, String> {
    let shown = |(key, value): (&String, &String)| {
        let value = match passwords.secret(key, value) {
            None => value.clone(),
            Some(Secret::Whole) => HIDDEN.to_owned(),
            Some(Secret::InUrl) => without_password_in_url(value),
        };
        (key.clone(), value)
    };
    config.iter().map(shown).collect()
}

/// A message with every secret of a configuration replaced, and every part of a value that is a secret by itself: the password of a
/// URL, of a JAAS text, of a pair.
pub(super) fn without_secrets(
    message: &str,
    config: &BTreeMap<String, String>,
    passwords: &PasswordDefinitions,
) -> String {
    let mut secrets = BTreeSet::new();
    for (key, value) in config {
        if let Some(secret) = passwords.secret(key, value) {
            secrets.extend(secret_parts(key, value, secret));
        }
    }
    let mut secrets: Vec<String> = secrets.into_iter().collect();
    // A secret may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(message.to_owned(), |text, secret| {
        text.replace(secret, HIDDEN)
    })
}

/// A value that is nothing but a reference which Connect's providers resolve: `${file:/run/secrets/db:password}`.
fn is_whole_reference(value: &str) -> bool {
    let inner = value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| inner.contains(':') && !inner.contains(['$', '{', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_defined() -> PasswordDefinitions {
        PasswordDefinitions::Known(BTreeSet::new())
    }

    fn shown(key: &str, value: &str) -> String {
        let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        redacted(&config, &nothing_defined())[key].clone()
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
            "producer.override.sasl.oauthbearer.token.endpoint.url",
            "value.converter.basic.auth.credentials.source",
            "database.password.file",
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
        let shown = redacted(
            &config,
            &PasswordDefinitions::Known(BTreeSet::from(["odd.name".to_owned()])),
        );
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
        let text = without_secrets("tiger-2, tiger and lion", &config, &nothing_defined());
        assert_eq!(text, "********, ******** and lion");
    }

    #[test]
    fn without_definitions_only_what_is_known_to_be_harmless_is_shown() {
        let config = [
            ("odd.name", "tiger"),
            ("snapshot.custom", "12"),
            ("database.password", "tiger"),
            ("some.url", "https://me:tiger@r"),
            ("name", "mine"),
            ("connector.class", "a.B"),
            ("transforms.t.type", "c.D"),
            ("database.hostname", "db"),
            ("producer.override.linger.ms", "0"),
            ("producer.override.sasl.jaas.config", "tiger"),
            ("some.switch", "true"),
            ("other.secret", "${file:/x:y}"),
        ];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let config = BTreeMap::from(config);
        let shown = redacted(&config, &PasswordDefinitions::Unknown);
        let hidden: Vec<&str> = shown
            .iter()
            .filter(|(_, value)| *value == HIDDEN)
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(
            hidden,
            [
                "database.password",
                "odd.name",
                "producer.override.sasl.jaas.config",
                "snapshot.custom",
                "some.url"
            ]
        );
        let text = without_secrets("tiger of odd.name", &config, &PasswordDefinitions::Unknown);
        assert_eq!(text, "******** of odd.name");
    }

    #[test]
    fn a_part_of_a_value_that_is_a_secret_by_itself_is_replaced_too() {
        for (key, value) in [
            ("registry.url", "https://me:tiger@r"),
            ("registry.url", "http://a,https://me:tiger@r/x?y=z"),
            ("registry.url", "https://me:%74iger@r"),
            (
                "database.jdbc.url",
                "jdbc:postgresql://h/d?user=u&password=tiger",
            ),
            (
                "sasl.jaas.config",
                "a.Plain required username=\"me\" password=\"tiger\";",
            ),
            (
                "sasl.jaas.config",
                "a.Plain required password='tiger' username='me';",
            ),
            ("sasl.jaas.config", "a.B required clientSecret = \"tiger\";"),
            ("basic.auth.user.info", "me:tiger"),
            ("headers.authorization", "Bearer tiger"),
            ("storage", "AccountName=me;AccountKey=tiger"),
            (
                "gcp.credentials.json",
                "{\"user\": \"me\", \"private_key\": \"tiger\"}",
            ),
            (
                "ssl.keystore.key",
                "-----BEGIN PRIVATE KEY-----\ntiger\n-----END PRIVATE KEY-----",
            ),
        ] {
            let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let trace = format!("cannot use {value}: tiger of me");
            let text = without_secrets(&trace, &config, &nothing_defined());
            assert!(!text.contains("tiger"), "{value}: {text}");
            assert!(text.ends_with(" of me"), "{value}: {text}");
        }
        let jaas = "a.Plain required password=\"ti;g \\\"er\" username=\"me\";";
        let config = BTreeMap::from([("a.jaas.config".to_owned(), jaas.to_owned())]);
        let text = without_secrets("ti;g \"er, ti;g \\\"er", &config, &nothing_defined());
        assert_eq!(text, "********, ********");
    }
}
