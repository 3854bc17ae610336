//! The errors of Kafka Connect.

use cdc_bench_stack::ConnectEndpointError;
use reqwest::StatusCode;

use crate::debezium::connector::{CONNECTOR_CLASS, EXACTLY_ONCE_SUPPORT};

/// A request to Kafka Connect failed.
#[derive(Debug, thiserror::Error)]
pub enum KafkaConnectError {
    /// No client can be made of the endpoint's settings.
    #[error(transparent)]
    Endpoint(#[from] ConnectEndpointError),
    /// No answer.
    #[error(
        "cannot reach Kafka Connect at {url}: {reason}; is it running, and is that its address (CONNECT_URL)?"
    )]
    Unreachable {
        /// Address.
        url: String,
        /// The system's error.
        reason: String,
    },
    /// TLS did not come about.
    #[error("no TLS to Kafka Connect at {url}: {reason}; {advice}")]
    Tls {
        /// Address.
        url: String,
        /// What failed.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// It wants a login, or another.
    #[error("Kafka Connect at {url} {reason} (401); {advice}")]
    Unauthorized {
        /// Address.
        url: String,
        /// What of the login.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The user may not do that.
    #[error(
        "Kafka Connect at {url} does not let {user} {request} (403); it, or the gateway before it, has to allow the user this"
    )]
    Forbidden {
        /// Address.
        url: String,
        /// Who.
        user: String,
        /// Method and path.
        request: String,
    },
    /// Something answers, and it is not Connect.
    #[error(
        "what answers at {url} is not Kafka Connect: {what}; check host, port and path prefix of the address (CONNECT_URL)"
    )]
    NotConnect {
        /// Address.
        url: String,
        /// What it answered.
        what: String,
    },
    /// It sends us to another server.
    #[error(
        "Kafka Connect's address {url} redirects to {to}, which gets neither login nor configuration unasked; if that is Connect, set CONNECT_URL to it"
    )]
    Redirected {
        /// Address.
        url: String,
        /// Where to.
        to: String,
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
    /// It does not deliver exactly once.
    #[error(
        "Kafka Connect at {url} does not deliver a connector's records exactly once: {reason}; its workers need exactly.once.source.support=enabled (\"preparing\" on all of them first, where there are several; a local stack: cdc-bench stack up --connect-exactly-once, or a run that starts its servers itself); or leave out {EXACTLY_ONCE_SUPPORT}=required (--connect-exactly-once)"
    )]
    NotExactlyOnce {
        /// Address.
        url: String,
        /// What it says.
        reason: String,
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
