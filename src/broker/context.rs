//! The context of Kafka's clients: it fetches tokens, and notes why a broker refuses.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::oauth;

/// The context of clients that need no other.
#[derive(Debug, Clone, Default)]
pub(super) struct BrokerContext {
    refusal: Arc<Mutex<Option<Refusal>>>,
}

/// Why no connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalKind {
    /// TLS failed.
    Tls,
    /// We were not let in.
    Authentication,
    /// The listener speaks another protocol.
    Protocol,
}

/// What a broker, or the connection to it, refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: RefusalKind,
    /// librdkafka's message.
    pub(super) reason: String,
}

impl BrokerContext {
    /// Why no connection came about, if that was encryption or authentication.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let refusal = self.refusal.lock();
        refusal.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first refusal is the one to tell of.
    fn note(&self, kind: Option<RefusalKind>, reason: &str) {
        let Some(kind) = kind else { return };
        let reason = reason.to_owned();
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.get_or_insert(Refusal { kind, reason });
    }
}

/// What a message of librdkafka is about, beside those that have a code of their own.
fn kind_of(message: &str) -> Option<RefusalKind> {
    if message.contains("SSL routines") {
        // An alert that comes after the handshake: with TLS 1.3, a missing certificate is one.
        Some(RefusalKind::Tls)
    } else if message.contains("incorrect security.protocol")
        || message.contains("Invalid response size")
    {
        // Its guess when a listener hangs up at the first request; or an alert of TLS, taken for an answer.
        Some(RefusalKind::Protocol)
    } else {
        None
    }
}

impl ClientContext for BrokerContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// What fails here is an error of the request, and said once.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
        // A listener that hangs up is logged, and no error of its own.
        self.note(kind_of(message), message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        let kind = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::SSL) => Some(RefusalKind::Tls),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                Some(RefusalKind::Authentication)
            }
            _ => kind_of(reason),
        };
        self.note(kind, reason);
    }

    fn generate_oauth_token(&self, source: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        oauth::token(source)
    }
}

impl ConsumerContext for BrokerContext {}
