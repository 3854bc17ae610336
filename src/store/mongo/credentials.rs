//! Messages about a connection string, without what may be a password.

const ENCODE: &str =
    "its user or password has characters that have to be percent-encoded, such as / ? # @";

/// The driver's message about a connection string, without the part between `//` and `@`.
pub(super) fn without_credentials(text: &str, uri: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let hosts_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(hosts_end);
    let (before_query, query) = after.split_once('?').unwrap_or((after, ""));
    let is_of_option = |pair: &str| {
        let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
        !name.contains('@')
    };
    // An @ that is in no value of an option ends a login with a sign that ends the hosts: any part of the message may be one of the
    // password.
    if before_query.contains('@') || !query.split('&').all(is_of_option) {
        return ENCODE.to_owned();
    }
    let mut parts: Vec<&str> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| value)
        .filter(|value| value.contains('@'))
        .collect();
    if let Some((credentials, _)) = authority.rsplit_once('@') {
        if credentials.contains(['#', '@']) {
            return ENCODE.to_owned();
        }
        parts.push(credentials);
        parts.extend(credentials.split(':'));
    }
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .fold(text.to_owned(), |text, part| text.replace(part, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_gets_into_a_message() {
        let uri = "mongodb://me:s3cret%zz@host:1/?x=y";
        let text = without_credentials("cannot parse me:s3cret%zz in s3cret%zz", uri);
        assert!(!text.contains("s3cret"), "{text}");
        for uri in [
            "mongodb://me:s3c/ret@host:1/",
            "mongodb://me:s3c?ret@host:1/",
            "mongodb://me:12?ret@host:1/?x=y",
            "mongodb://me:12/ret@host/d?x=y",
            "mongodb://me:s3c#ret@host:1/",
            "mongodb://me:s3c@ret@host:1/",
        ] {
            assert_eq!(
                without_credentials("cannot parse ret", uri),
                ENCODE,
                "{uri}"
            );
        }
        let uri = "mongodb://me:12?x=ret@host:1/";
        assert_eq!(
            without_credentials("option x=ret@host:1/", uri),
            "option x=***"
        );
    }

    #[test]
    fn an_option_with_an_at_sign_is_no_login() {
        let uri = "mongodb://h:1/?appName=a@b&foo=1";
        assert_eq!(without_credentials("no option foo", uri), "no option foo");
        let uri = "mongodb://me:s3cret@h:1/?appName=a@b&foo=1";
        assert_eq!(
            without_credentials("no option foo of s3cret", uri),
            "no option foo of ***"
        );
    }
}
