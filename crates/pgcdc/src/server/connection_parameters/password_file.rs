//! libpq's password file: `host:port:database:user:password`, with `*` for anything.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::ConnectionWarning;
use crate::Server;

/// The password for a server. A file that does not exist holds none.
pub(super) fn find(path: &Path, server: &Server) -> Result<Option<String>, ConnectionWarning> {
    let ignored = |reason: &str| ConnectionWarning::PasswordFile {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let Ok(found) = std::fs::metadata(path) else {
        return Ok(None);
    };
    if !found.is_file() {
        return Err(ignored("it is no plain file"));
    }
    if found.permissions().mode() & 0o077 != 0 {
        return Err(ignored(
            "group or others may read it; chmod 600 makes it yours alone",
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|error| ignored(&error.to_string()))?;
    Ok(text.lines().find_map(|line| password(line, server)))
}

/// The password of a line that is for the server.
fn password(line: &str, server: &Server) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let port = server.port.to_string();
    let (host, line) = field(line)?;
    let is_local = server.socket_path().is_some() && host == "localhost";
    let matches = |found: &str, wanted: &str| found == "*" || found == wanted;
    if !is_local && !matches(&host, &server.host) {
        return None;
    }
    let mut rest = line;
    for wanted in [&*port, &server.database, &server.user] {
        let (found, after) = field(rest)?;
        if !matches(&found, wanted) {
            return None;
        }
        rest = after;
    }
    let password = field(rest).map_or_else(|| unescaped(rest), |(password, _)| password);
    Some(password).filter(|password| !password.is_empty())
}

/// The field before the next colon that is not escaped, and what follows.
fn field(line: &str) -> Option<(String, &str)> {
    let mut is_escaped = false;
    let end = line.find(|c| {
        let ends = c == ':' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })?;
    Some((unescaped(&line[..end]), &line[end + 1..]))
}

/// Without the backslashes that escape.
fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str) -> Server {
        Server::new(host, 5432, "me", String::new(), "shop")
    }

    fn found(line: &str, host: &str) -> Option<String> {
        password(line, &server(host))
    }

    #[test]
    fn the_first_line_that_matches_has_the_password() {
        for (line, host, expected) in [
            ("db:5432:shop:me:secret", "db", Some("secret")),
            ("*:*:*:*:secret", "db", Some("secret")),
            ("db:5433:shop:me:secret", "db", None),
            ("db:*:shop:you:secret", "db", None),
            ("# db:5432:shop:me:secret", "db", None),
            // Escaped, and what stands after the password is no part of it.
            (r"db:*:*:*:a\:b\\c", "db", Some(r"a:b\c")),
            ("db:*:*:*:secret:x", "db", Some("secret")),
            (r"\:\:1:5432:*:me:six", "::1", Some("six")),
            (
                "localhost:5432:*:me:local",
                "/run/postgresql",
                Some("local"),
            ),
            (
                "/run/postgresql:*:*:me:path",
                "/run/postgresql",
                Some("path"),
            ),
            ("localhost:*:*:*:x", "db", None),
            ("db:*:*:*:", "db", None),
            ("db:5432", "db", None),
        ] {
            assert_eq!(found(line, host).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass");
        assert_eq!(find(&path, &server("db")), Ok(None));
        std::fs::write(&path, "other:*:*:*:x\ndb:*:*:*:secret\n").unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            find(&path, &server("db"))
        };
        assert_eq!(mode(0o600), Ok(Some("secret".to_owned())));
        for readable in [0o640, 0o604] {
            let warning = mode(readable).unwrap_err().to_string();
            assert!(warning.contains("chmod 600"), "{warning}");
            assert!(!warning.contains("secret"), "{warning}");
        }
        assert!(find(folder.path(), &server("db")).is_err());
    }
}
