//! The failure of a command: a sentence, and an exit code for scripts.

use std::fmt;

/// Exit codes of the command.
pub mod exit {
    /// An objective was missed.
    pub const OBJECTIVE_MISSED: u8 = 1;
    /// Bad arguments, or a results folder that cannot be written.
    pub const USAGE: u8 = 2;
    /// A server, or what is needed to start one, is missing or refused.
    pub const SERVER: u8 = 3;
    /// Data lost or differing.
    pub const DATA: u8 = 4;
    /// Interrupted.
    pub const INTERRUPTED: u8 = 130;
}

/// A failure of a command.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// Bad arguments.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: exit::USAGE,
            error: error.into(),
        }
    }

    /// A server is missing, or has refused.
    pub fn server(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: exit::SERVER,
            error: error.into(),
        }
    }

    /// The user asked to stop.
    #[must_use]
    pub fn interrupted() -> Self {
        Self {
            code: exit::INTERRUPTED,
            error: anyhow::anyhow!("interrupted"),
        }
    }

    /// A failure with any exit code.
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }

    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.code
    }

    /// Whether the user has interrupted the command.
    #[must_use]
    pub fn is_interrupt(&self) -> bool {
        self.code == exit::INTERRUPTED
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display + Send + Sync + 'static) -> Self {
        Self {
            code: self.code,
            error: self.error.context(doing),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole chain, on one line.
        write!(f, "{:#}", self.error)
    }
}

macro_rules! from_server_error {
    ($($error:ty),+) => { $(impl From<$error> for Failure {
        fn from(error: $error) -> Self { Self::server(error) }
    })+ };
}

from_server_error!(
    crate::broker::BrokerError,
    crate::load::LoadError,
    crate::store::StoreError,
    crate::consumer::StageError,
    pgcdc::ReaderError,
    tokio_postgres::Error
);

impl From<crate::debezium::KafkaConnectError> for Failure {
    fn from(error: crate::debezium::KafkaConnectError) -> Self {
        match error {
            crate::debezium::KafkaConnectError::Cancelled => Self::interrupted(),
            error => Self::server(error),
        }
    }
}

impl From<cdc_bench_stack::StackError> for Failure {
    fn from(error: cdc_bench_stack::StackError) -> Self {
        Self {
            code: error.exit_code(),
            error: error.into(),
        }
    }
}

impl From<cdc_bench_model::report::RecorderError> for Failure {
    fn from(error: cdc_bench_model::report::RecorderError) -> Self {
        Self::usage(error)
    }
}

impl From<cdc_bench_stack::MissingEndpoint> for Failure {
    fn from(error: cdc_bench_stack::MissingEndpoint) -> Self {
        Self::usage(error)
    }
}
