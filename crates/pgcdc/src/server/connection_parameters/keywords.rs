//! The parameters of a connection that libpq knows, and the variables of the environment that stand for them.

/// Parameters that are honoured, with their variables.
const HONOURED: [(&str, Option<&str>); 24] = [
    ("application_name", Some("PGAPPNAME")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("dbname", Some("PGDATABASE")),
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("keepalives", None),
    ("keepalives_count", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("options", Some("PGOPTIONS")),
    ("passfile", Some("PGPASSFILE")),
    ("password", Some("PGPASSWORD")),
    ("port", Some("PGPORT")),
    ("service", Some("PGSERVICE")),
    ("servicefile", Some("PGSERVICEFILE")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("tcp_user_timeout", None),
    ("user", Some("PGUSER")),
    ("fallback_application_name", None),
];

/// Parameters of libpq that are understood by nothing here, with their variables.
const NOT_HONOURED: [(&str, Option<&str>); 28] = [
    ("client_encoding", Some("PGCLIENTENCODING")),
    ("gssdelegation", Some("PGGSSDELEGATION")),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("gsslib", Some("PGGSSLIB")),
    ("krbsrvname", Some("PGKRBSRVNAME")),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    ("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    ("min_protocol_version", Some("PGMINPROTOCOLVERSION")),
    ("oauth_client_id", None),
    ("oauth_client_secret", None),
    ("oauth_issuer", None),
    ("oauth_scope", None),
    ("replication", None),
    ("require_auth", Some("PGREQUIREAUTH")),
    ("requirepeer", Some("PGREQUIREPEER")),
    ("requiressl", Some("PGREQUIRESSL")),
    ("scram_client_key", None),
    ("scram_server_key", None),
    ("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION")),
    ("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    ("sslcertmode", Some("PGSSLCERTMODE")),
    ("sslcompression", Some("PGSSLCOMPRESSION")),
    ("sslcrl", Some("PGSSLCRL")),
    ("sslcrldir", Some("PGSSLCRLDIR")),
    ("sslkeylogfile", None),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("sslpassword", None),
    ("sslsni", Some("PGSSLSNI")),
];

/// The parameter of this name.
pub(super) fn find(name: &str) -> Option<&'static str> {
    let mut known = HONOURED
        .iter()
        .chain(&NOT_HONOURED)
        .map(|(known, _)| *known);
    known.find(|known| *known == name)
}

/// Whether a parameter has an effect.
pub(super) fn is_honoured(keyword: &str) -> bool {
    HONOURED.iter().any(|(known, _)| *known == keyword)
}

/// Each parameter that has a variable, with that.
pub(super) fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    let known = HONOURED.iter().chain(&NOT_HONOURED);
    known.filter_map(|(keyword, variable)| Some((*keyword, (*variable)?)))
}

/// The known parameter that a mistyped one is nearest to, if it is near.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let near = HONOURED.iter().map(|(known, _)| *known);
    let name = name.to_ascii_lowercase().replace('-', "_");
    let near = near.map(|known| (distance(&name, known), known)).min()?;
    // Of a name of three or four letters, two others are another word.
    let limit = (name.len() / 3).max(1 + usize::from(name.len() > 4));
    (near.0 <= limit).then_some(near.1)
}

/// Characters to insert, remove or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_parameter_has_a_near_one() {
        assert_eq!(nearest("sslmod"), Some("sslmode"));
        assert_eq!(nearest("database"), None);
        assert_eq!(nearest("pasword"), Some("password"));
        assert_eq!(nearest("connect-timeout"), Some("connect_timeout"));
        assert_eq!(nearest("statement_cache_capacity"), None);
        assert_eq!(nearest("usr"), Some("user"));
        for password in ["hunter2", "x", "pat", "tiger", "s3cret"] {
            assert_eq!(nearest(password), None, "{password}");
        }
    }
}
