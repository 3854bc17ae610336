//! Secrets by the words of a setting: its name, or its value.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

/// What is shown instead of a secret.
pub(super) const HIDDEN: &str = "********";

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

/// Ends of the names of settings that say where a secret is, or of what kind.
const ABOUT_SECRETS: [&str; 11] = [
    ".class",
    ".enable",
    ".enabled",
    ".file",
    ".location",
    ".ms",
    ".path",
    ".source",
    ".type",
    ".uri",
    ".url",
];

/// How much of a value is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    /// All of it.
    Whole,
    /// The passwords in its URLs.
    InUrl,
}

pub(super) fn is_secret_name(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['_', '-'], ".");
    let names_secret = SECRET_NAMES.iter().any(|part| key.contains(part))
        || key.ends_with("ssl.key")
        || CLIENT_PASSWORDS.iter().any(|name| key.ends_with(name));
    names_secret && !ABOUT_SECRETS.iter().any(|end| key.ends_with(end))
}

/// A key, or the parameters of a URL or of a list with one that is a secret.
pub(super) fn is_secret_value(value: &str) -> bool {
    value.contains("PRIVATE KEY-----") || !secrets_of_pairs(value).is_empty()
}

/// The value with the password in each `scheme://user:password@host` replaced.
pub(super) fn without_password_in_url(value: &str) -> String {
    let mut shown = value.to_owned();
    for password in passwords_in_urls(value).into_iter().rev() {
        shown.replace_range(password, HIDDEN);
    }
    shown
}

/// The texts of which each would betray the secret of this value.
pub(super) fn secret_parts(key: &str, value: &str, secret: Secret) -> Vec<String> {
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    // Of several URLs in one word, the password of one ends with its own @, and that of the last with the last.
    for (at, scheme) in value.match_indices("://") {
        let after = &value[at + scheme.len()..];
        let word = after.split(char::is_whitespace).next().unwrap_or_default();
        let ends = [word.find('@'), word.rfind('@')];
        let logins = ends.into_iter().flatten().map(|end| &word[..end]);
        let passwords = logins.filter_map(|login| login.split_once(':'));
        parts.extend(passwords.map(|(_, password)| Cow::Borrowed(password)));
    }
    if secret == Secret::Whole {
        parts.push(value.into());
        parts.extend(secrets_of_pairs(value));
        parts.extend(secrets_of_json(value).into_iter().map(Cow::Owned));
        let key = key.to_ascii_lowercase();
        if key.contains("info") {
            parts.extend(value.split_once(':').map(|(_, password)| password.into()));
        }
        // "Bearer TOKEN".
        if key.contains("authorization") {
            parts.extend(value.split_once(' ').map(|(_, token)| token.into()));
        }
        if value.contains("PRIVATE KEY-----") {
            let lines = value.lines().filter(|line| !line.starts_with("-----"));
            parts.extend(lines.map(Cow::Borrowed));
        }
    }
    let decoded = parts.iter().filter_map(|part| {
        let decoded = percent_decode_str(part).decode_utf8().ok()?;
        (decoded != *part).then(|| decoded.into_owned())
    });
    let decoded: Vec<String> = decoded.collect();
    let parts = parts.into_iter().map(|part| part.trim().to_owned());
    let parts = parts.chain(decoded);
    parts.filter(|part| !part.is_empty()).collect()
}

/// Where the password of each `scheme://user:password@host` stands.
fn passwords_in_urls(value: &str) -> Vec<Range<usize>> {
    let mut passwords = Vec::new();
    let mut from = 0;
    while let Some(scheme) = value[from..].find("://") {
        let start = from + scheme + "://".len();
        let after = &value[start..];
        // A password may hold a slash: everything up to the last @ before white space belongs to the login.
        let word_end = after.find(char::is_whitespace).unwrap_or(after.len());
        let login_end = after[..word_end].rfind('@');
        if let Some(end) = login_end
            && let Some(colon) = after[..end].find(':')
        {
            passwords.push(start + colon + 1..start + end);
        }
        from = start + login_end.unwrap_or_default();
    }
    passwords
}

/// The values of `name=value`, bare or in quotes, whose name is that of a secret; one in quotes also without its backslashes.
fn secrets_of_pairs(text: &str) -> Vec<Cow<'_, str>> {
    let mut secrets = Vec::new();
    for (at, _) in text.match_indices('=') {
        let before = text[..at].trim_end();
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = &before[before.trim_end_matches(is_of_name).len()..];
        if !is_secret_name(name) {
            continue;
        }
        let after = text[at + 1..].trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let value = match quote {
            Some(quote) => quoted(&after[1..], quote),
            None => {
                let ends = ['?', '&', ';', ',', ' ', '\n'];
                &after[..after.find(ends).unwrap_or(after.len())]
            }
        };
        if quote.is_some() && value.contains('\\') {
            secrets.push(value.replace('\\', "").into());
        }
        if !value.is_empty() {
            secrets.push(value.into());
        }
    }
    secrets
}

/// The text up to this quote; a backslash takes the sign after it with it.
fn quoted(text: &str, quote: char) -> &str {
    let mut is_escaped = false;
    let end = text.find(|c: char| {
        let ends = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    &text[..end.unwrap_or(text.len())]
}

/// The texts in an object of JSON whose name is that of a secret.
fn secrets_of_json(value: &str) -> Vec<String> {
    let mut secrets = Vec::new();
    let mut rest: Vec<serde_json::Value> = serde_json::from_str(value).into_iter().collect();
    while let Some(value) = rest.pop() {
        match value {
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        serde_json::Value::String(text) if is_secret_name(&name) => {
                            secrets.push(text);
                        }
                        other => rest.push(other),
                    }
                }
            }
            serde_json::Value::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    secrets
}
