//! What may go wrong with Connect.

use reqwest::StatusCode;

use super::CONNECTOR_CLASS;

/// What Connect refused or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not an address.
    #[error(
        "{url:?} is no address of Kafka Connect: {reason}; expected something like http://127.0.0.1:8083"
    )]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers.
    #[error("cannot reach Kafka Connect at {url}: {reason}; is it running?")]
    Unreachable {
        /// Address.
        url: String,
        /// The system's words.
        reason: String,
    },
    /// It said no.
    #[error("Kafka Connect at {url} answered {status}: {message}")]
    Refused {
        /// Address.
        url: String,
        /// HTTP status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
    /// Debezium is not installed there.
    #[error(
        "Kafka Connect at {url} has no plugin {CONNECTOR_CLASS}; put debezium-connector-postgres into its plugin.path and restart it"
    )]
    NoDebezium {
        /// Address.
        url: String,
    },
    /// There is no such connector.
    #[error("Kafka Connect at {url} has no connector \"{name}\"")]
    NoConnector {
        /// Address.
        url: String,
        /// Its name.
        name: String,
    },
    /// It failed.
    #[error("connector \"{name}\" failed: {reason}")]
    Failed {
        /// Its name.
        name: String,
        /// First lines of the trace.
        reason: String,
    },
    /// It does not get to run.
    #[error("connector \"{name}\" was not RUNNING within {seconds} s; its last state was {state}")]
    NotRunning {
        /// Its name.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// Its last state.
        state: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Cancelled,
}
