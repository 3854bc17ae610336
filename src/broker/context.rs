//! The context of Kafka's clients: it fetches tokens, and notes why a broker refuses.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::{ClientContext, OAuthToken};
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
}

impl ClientContext for BrokerContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        let kind = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::SSL) => RefusalKind::Tls,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                RefusalKind::Authentication
            }
            // librdkafka's guess when a listener hangs up at the first request.
            _ if reason.contains("incorrect security.protocol") => RefusalKind::Protocol,
            _ => {
                tracing::debug!(%error, reason, "librdkafka");
                return;
            }
        };
        let reason = reason.to_owned();
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.get_or_insert(Refusal { kind, reason });
    }

    fn generate_oauth_token(&self, source: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        oauth::token(source)
    }
}

impl ConsumerContext for BrokerContext {}
