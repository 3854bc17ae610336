//! What an error means for the reader: which of its own errors it is, and whether another attempt may help. By SQLSTATE, for
//! the words of a message are translated and hold names of the user's.

use crate::wire::{ServerMessage, WireError};
use crate::{ReaderError, Server, SslMode};

/// Invalid authorization, and insufficient privilege.
const REFUSED: [&str; 2] = ["28", NO_PRIVILEGE];
/// `object_not_in_prerequisite_state`: a setting, or a slot that cannot be used.
const NOT_IN_STATE: &str = "55000";
/// `configuration_limit_exceeded`, `too_many_connections`.
const NO_FREE_SLOT: [&str; 2] = ["53400", "53300"];
/// `object_in_use`: the slot, by another reader.
pub(crate) const IN_USE: &str = "55006";
/// `duplicate_object`.
pub(crate) const EXISTS: &str = "42710";
/// `query_canceled`.
pub(crate) const CANCELLED: &str = "57014";
/// `invalid_authorization_specification`: no line of pg_hba.conf fits, or no such role.
const NOT_IN_HBA: &str = "28000";
/// `insufficient_privilege`.
const NO_PRIVILEGE: &str = "42501";

const CHECK_HBA: &str = "check the user, and the lines of pg_hba.conf that are for it";

/// What to do about a refusal.
fn remedy(code: &str, server: &Server) -> &'static str {
    let is_plain = server.tls.mode == SslMode::Disable && server.socket_path().is_none();
    match code {
        NOT_IN_HBA if is_plain => {
            "the connection has no encryption, and pg_hba.conf may let in encrypted ones alone (hostssl): set sslmode=require; else check the user"
        }
        NOT_IN_HBA => CHECK_HBA,
        NO_PRIVILEGE => {
            "the role needs the right: to replicate, ALTER ROLE ... REPLICATION (RDS and Aurora: GRANT rds_replication TO ...)"
        }
        _ => "check the password",
    }
}

/// States of the server that pass: connection, transaction rollback, resources, operator intervention, system error.
const PASSING: [&str; 5] = ["08", "40", "53", "57", "58"];

impl ServerMessage {
    /// Whether the state of the server that it reports may pass.
    fn passes(&self) -> bool {
        self.code == IN_USE || PASSING.iter().any(|class| self.code.starts_with(class))
    }
}

impl ReaderError {
    /// Whether another attempt would fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::NoFreeSlot { .. } => false,
            Self::Server { message, .. } => !message.passes(),
            _ => true,
        }
    }

    pub(crate) fn from_wire(error: &WireError, server: &Server) -> Self {
        let address = server.address();
        match error {
            WireError::Io(_) | WireError::Tls(..) | WireError::Silent(_) => Self::Connection {
                server: address,
                reason: error.to_string(),
            },
            WireError::NoPassword => Self::NoPassword {
                server: address,
                user: server.user.clone(),
            },
            WireError::Auth(reason) => Self::Refused {
                server: address,
                user: server.user.clone(),
                message: Box::new(ServerMessage {
                    message: reason.clone(),
                    ..ServerMessage::default()
                }),
                remedy: CHECK_HBA,
            },
            WireError::Server(message) => Self::from_message(message, server),
            WireError::Protocol(_) | WireError::TooLarge { .. } => Self::Protocol {
                server: address,
                reason: error.to_string(),
            },
        }
    }

    fn from_message(message: &ServerMessage, of: &Server) -> Self {
        let (server, boxed) = (of.address(), Box::new(message.clone()));
        let code = &*message.code;
        if code == NOT_IN_STATE && message.message.contains("wal_level") {
            return Self::WalLevel { server };
        }
        if NO_FREE_SLOT.contains(&code) {
            let reason = message.to_string();
            return Self::NoFreeSlot { server, reason };
        }
        // PgBouncer knows the parameters that a transaction pool can keep. "08P01" is any violation of the protocol.
        if code == "08P01" && message.message.contains("unsupported startup parameter") {
            return Self::Pooler {
                server,
                message: boxed,
            };
        }
        if REFUSED.iter().any(|class| code.starts_with(class)) {
            return Self::Refused {
                server,
                user: of.user.clone(),
                message: boxed,
                remedy: remedy(code, of),
            };
        }
        Self::Server {
            server,
            message: boxed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str) -> ReaderError {
        let server = Server::new("db", 5432, "me", String::new(), "d");
        let message = ServerMessage {
            code: code.to_owned(),
            message: message.to_owned(),
            ..ServerMessage::default()
        };
        server.reader_error(&message.into())
    }

    #[test]
    fn errors_are_told_apart_by_their_code_and_not_by_their_words() {
        let taken = error(IN_USE, "replication slot \"s\" is active for PID 28000");
        assert!(matches!(taken, ReaderError::Server { .. }), "{taken}");
        assert!(!taken.is_permanent());
        let named = error(
            "42704",
            "replication slot \"max_wal_senders\" does not exist",
        );
        assert!(matches!(named, ReaderError::Server { .. }) && named.is_permanent());
        assert!(matches!(
            error("28P01", "nein"),
            ReaderError::Refused { .. }
        ));
        assert!(matches!(
            error("42501", "nein"),
            ReaderError::Refused { .. }
        ));
        let hostssl = error("28000", "no pg_hba.conf entry for host, no encryption");
        assert!(hostssl.to_string().contains("sslmode=require"), "{hostssl}");
        let right = error("42501", "nein").to_string();
        assert!(right.contains("rds_replication"), "{right}");
        assert!(matches!(
            error("53300", "voll"),
            ReaderError::NoFreeSlot { .. }
        ));
        let level = error(
            NOT_IN_STATE,
            "logical decoding requires \"wal_level\" >= \"logical\"",
        );
        assert!(matches!(level, ReaderError::WalLevel { .. }));
        assert!(error(NOT_IN_STATE, "can no longer get changes").is_permanent());
        assert!(error("22012", "division by zero").is_permanent());
        for passing in ["57P01", "57P03", "53200", "08006", "40001", "58000"] {
            assert!(!error(passing, "").is_permanent(), "{passing}");
        }
        let pooler = error("08P01", "unsupported startup parameter: replication");
        assert!(matches!(pooler, ReaderError::Pooler { .. }));
    }
}
