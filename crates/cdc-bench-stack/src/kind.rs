//! The three origins of servers.

use std::fmt;

/// Where the servers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackKind {
    /// Started by us, stopped with the run.
    Local,
    /// Started by us in containers, by docker compose, stopped with the run.
    Compose,
    /// The user's own.
    External,
}

impl fmt::Display for StackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Compose => "compose",
            Self::External => "external",
        })
    }
}
