//! `postgresql://user:password@host:port,host:port/database?parameter=value`, as libpq reads it.

use super::{ConnectionParameters, InvalidServer};

/// The parameters of a URI, without its scheme.
pub(super) fn parse(rest: &str) -> Result<ConnectionParameters, InvalidServer> {
    let mut parameters = ConnectionParameters::default();
    let (address, query) = split_query(rest);
    // Credentials end at the first "@", if it comes before any "/".
    let ends = address.find(['@', '/']);
    let has_user = ends.filter(|at| address.as_bytes()[*at] == b'@');
    let address = match has_user {
        Some(at) => {
            let (user, password) = match address[..at].split_once(':') {
                Some((user, password)) => (user, password),
                None => (&address[..at], ""),
            };
            parameters.put("user", decoded(user)?);
            parameters.put("password", decoded(password)?);
            &address[at + 1..]
        }
        None => address,
    };
    // A password with one of these signs as they stand would be taken for a host, and shown as one.
    if address.contains('@') {
        return Err(InvalidServer::Syntax(
            "it has more than one @; in user, password and database write %40 for @, %3A for :, %2F for /, %3F for ?, %25 for %"
                .to_owned(),
        ));
    }
    let (hosts, database) = address.split_once('/').unwrap_or((address, ""));
    let (names, ports) = hosts_and_ports(hosts)?;
    parameters.put("host", decoded(&names)?);
    parameters.put("port", ports);
    parameters.put("dbname", decoded(database)?);
    // With an @ and nobody before the hosts, it may be the end of a password that holds a slash or a question mark.
    let may_hold_password = has_user.is_none() && query.contains('@');
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let set = set(&mut parameters, pair);
        set.map_err(|error| match error {
            InvalidServer::UnknownParameter { .. } if may_hold_password => InvalidServer::Syntax(
                "what follows its question mark holds an @ and a parameter that is none of libpq's; in a password write %3F for ?, %2F for /, %40 for @"
                    .to_owned(),
            ),
            error => error,
        })?;
    }
    Ok(parameters)
}

/// Sets the parameter of a pair of the query. The pair is not repeated in an error: it may be a part of a password.
fn set(parameters: &mut ConnectionParameters, pair: &str) -> Result<(), InvalidServer> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(InvalidServer::Syntax(
            "a parameter after its question mark has no value; a question mark in a password is written %3F"
                .to_owned(),
        ));
    };
    match (&*decoded(key)?, decoded(value)?) {
        // As JDBC has it.
        ("ssl", value) if value == "true" => parameters.set("sslmode", "require"),
        (key, value) => parameters.set_named(key, &value),
    }
}

/// The part before the question mark that begins the query, and the query. A password may hold a question mark.
fn split_query(rest: &str) -> (&str, &str) {
    let credentials = rest.find(['@', '/']);
    let credentials = credentials.filter(|at| rest.as_bytes()[*at] == b'@');
    let from = credentials.unwrap_or_default();
    match rest[from..].find('?') {
        Some(at) => (&rest[..from + at], &rest[from + at + 1..]),
        None => (rest, ""),
    }
}

/// `a:1,[::1]:2`: the hosts and the ports, each with commas. No value is repeated in an error: it may be a part of a password.
fn hosts_and_ports(text: &str) -> Result<(String, String), InvalidServer> {
    let malformed = |what: &str| InvalidServer::Syntax(what.to_owned());
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, port) = match part.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest
                    .split_once(']')
                    .ok_or_else(|| malformed("an IPv6 address has no closing ]"))?;
                let port = match after.strip_prefix(':') {
                    Some(port) => port,
                    None if after.is_empty() => "",
                    None => return Err(malformed("something follows the ] of an IPv6 address")),
                };
                (host, port)
            }
            None if part.matches(':').count() > 1 => {
                return Err(malformed(
                    "a host holds more than one \":\"; an IPv6 address stands in [ ], and in a password write %3A",
                ));
            }
            None => part.split_once(':').unwrap_or((part, "")),
        };
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed(
                "a port is no number; a user or a password that holds one of @ : / ? % has it percent-encoded",
            ));
        }
        hosts.push(host);
        ports.push(port);
    }
    if ports.iter().all(|port| port.is_empty()) {
        ports.clear();
    }
    Ok((hosts.join(","), ports.join(",")))
}

/// Text without percent-encoding.
fn decoded(text: &str) -> Result<String, InvalidServer> {
    let invalid = || {
        InvalidServer::Syntax(
            "a % is not followed by two hexadecimal digits; a % itself is written %25".to_owned(),
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or_else(invalid)?;
        let digits = std::str::from_utf8(digits).map_err(|_| invalid())?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
        if byte == 0 || digits.starts_with('+') {
            return Err(invalid());
        }
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes)
        .map_err(|_| InvalidServer::Syntax("its percent-encoded bytes are no UTF-8".to_owned()))
}
