//! Why parameters name no server, and what of them has no effect.

use std::path::PathBuf;

/// Why a text or a configuration names no server. It never contains the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServer {
    /// It is no connection string.
    #[error(
        "this is no connection string of PostgreSQL, as postgresql://user@host:5432/database?sslmode=verify-full or \"host=... port=5432 dbname=... user=...\": {0}"
    )]
    Syntax(String),
    /// A parameter is not known.
    #[error("the connection string has a parameter {parameter:?} that is not known{}", near(*.nearest))]
    UnknownParameter {
        /// The parameter.
        parameter: String,
        /// A known one with a similar name.
        nearest: Option<&'static str>,
    },
    /// It has no host.
    #[error("the connection string names no host")]
    NoHost,
    /// It has several hosts. A slot is on one server.
    #[error(
        "the connection string names {0} hosts: a slot is on one of them, give the address of that one"
    )]
    SeveralHosts(usize),
    /// Hosts, addresses and ports are not equally many.
    #[error("the connection string names {hosts} hosts, and {others} values of {parameter}")]
    Uneven {
        /// Number of hosts.
        hosts: usize,
        /// `port` or `hostaddr`.
        parameter: &'static str,
        /// Its number of values.
        others: usize,
    },
    /// It has no user.
    #[error("the connection string names no user")]
    NoUser,
    /// It has a value for a parameter that is not known.
    #[error("the connection string has {parameter}={value}, and {parameter} is one of {known}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        known: &'static str,
    },
    /// Only one of a client certificate and its key is given.
    #[error("a client certificate needs both: sslcert and sslkey")]
    HalfCertificate,
    /// The service is not defined.
    #[error("service \"{service}\" is not defined in {}", paths(.files))]
    Service {
        /// Its name.
        service: String,
        /// Files that were looked at.
        files: Vec<PathBuf>,
    },
    /// The service file cannot be read or understood.
    #[error("service file {}: {reason}", path.display())]
    ServiceFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The password is no UTF-8.
    #[error("the password of the connection string is no UTF-8")]
    Password,
}

fn near(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; is {name:?} meant?"))
}

fn paths(files: &[PathBuf]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    if files.is_empty() {
        "any file, for there is none".to_owned()
    } else {
        files.join(" or ")
    }
}

/// What is given and has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionWarning {
    /// A parameter of libpq's that is not supported.
    #[error("the connection parameter {0:?} of libpq has no effect here")]
    NotHonoured(&'static str),
    /// A password file that is not read.
    #[error("password file {} is not read: {reason}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}
