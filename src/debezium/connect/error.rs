//! The errors of Kafka Connect.

use reqwest::StatusCode;

use crate::debezium::connector::CONNECTOR_CLASS;

/// A request to Kafka Connect failed.
#[derive(Debug, thiserror::Error)]
pub enum KafkaConnectError {
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
    /// No answer.
    #[error("cannot reach Kafka Connect at {url}: {reason}; is it running?")]
    Unreachable {
        /// Address.
        url: String,
        /// The system's error.
        reason: String,
    },
    /// It refused.
    #[error("Kafka Connect at {url} answered {status}: {message}")]
    Refused {
        /// Address.
        url: String,
        /// HTTP status.
        status: StatusCode,
        /// Its message.
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
    /// It does not start to run.
    #[error("connector \"{name}\" was not RUNNING within {seconds} s; its last state was {state}")]
    NotRunning {
        /// Its name.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// Its last state.
        state: String,
    },
    /// It was cancelled.
    #[error("interrupted")]
    Cancelled,
}
