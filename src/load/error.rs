//! Why a load fails.

/// Why a load could not start or continue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No connection.
    #[error("cannot connect to PostgreSQL at {server} to insert events: {cause}; {advice}")]
    Connect {
        /// User, address and database.
        server: String,
        /// The server's or the system's error.
        cause: String,
        /// What to do.
        advice: &'static str,
        /// Whether another try is useless.
        hopeless: bool,
    },
    /// The INSERT does not fit the table.
    #[error("cannot insert into activity.event_outbox at {server}: {cause}; {advice}")]
    Prepare {
        /// User, address and database.
        server: String,
        /// The server's error.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
    /// The connection was lost during the load and could not be restored.
    #[error(
        "lost the connection to PostgreSQL at {server} while inserting ({lost}) and could not get it back within {waited_s} s: {cause}"
    )]
    ConnectionLost {
        /// User, address and database.
        server: String,
        /// Why it was lost.
        lost: String,
        /// Seconds spent reconnecting.
        waited_s: u64,
        /// Why the last attempt failed.
        cause: String,
    },
    /// A thread of the load could not be started, or died.
    #[error("a thread of the load {0}")]
    Thread(String),
}
