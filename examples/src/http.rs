//! A sink that posts events to an HTTP endpoint.

use std::error::Error;
use std::time::Duration;

use pgcdc::{Batch, Sink};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde::Serialize;
use serde_json::value::RawValue;

use super::outbox::{OutboxError, OutboxEvent, outbox_events};

/// Longest wait for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Posts each event as JSON, one after the other and in order, at least once.
///
/// An event comes again, with the same `Idempotency-Key`, when the answer to it or to a later one of its batch was lost or an
/// error, and when the program ended before the batch was acknowledged: the endpoint tells by the key.
#[derive(Debug)]
pub struct HttpSink {
    client: Client,
    endpoint: Url,
}

/// Why an event was not posted.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No answer.
    #[error("no answer to event {id}: {}", with_causes(source))]
    NoAnswer {
        /// Key of the row.
        id: i64,
        /// What happened.
        source: reqwest::Error,
    },
    /// The answer is not one of success.
    #[error("the answer to event {id} is {status}")]
    Refused {
        /// Key of the row.
        id: i64,
        /// The answer.
        status: StatusCode,
    },
    /// The payload is no JSON.
    #[error("the payload of event {id} is no JSON: {source}")]
    Payload {
        /// Key of the row.
        id: i64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The batch has no events of an outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// What is posted.
#[derive(Serialize)]
struct Body<'a> {
    id: i64,
    aggregate_id: &'a str,
    r#type: &'a str,
    payload: &'a RawValue,
}

/// An error with what caused it, which the client's errors leave out.
fn with_causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

impl HttpSink {
    /// Posts to this endpoint.
    ///
    /// # Errors
    /// When the client cannot be built, for lack of root certificates for instance.
    pub fn new(endpoint: Url) -> reqwest::Result<Self> {
        // It may be installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(ANSWER_LIMIT)
            // A redirected POST may become a GET, and the event be lost.
            .redirect(Policy::none())
            .build()?;
        Ok(Self { client, endpoint })
    }

    async fn post(&self, event: OutboxEvent<'_>) -> Result<(), HttpError> {
        let id = event.id;
        let body = Body {
            id,
            aggregate_id: event.aggregate_id,
            r#type: event.event_type,
            payload: serde_json::from_str(event.payload)
                .map_err(|source| HttpError::Payload { id, source })?,
        };
        let answer = self
            .client
            .post(self.endpoint.clone())
            .header("Idempotency-Key", &event.idempotency_key)
            .json(&body)
            .send()
            .await
            .map_err(|error| HttpError::NoAnswer {
                id,
                // It may contain a password.
                source: error.without_url(),
            })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(HttpError::Refused { id, status }),
        }
    }
}

impl Sink for HttpSink {
    type Error = HttpError;

    async fn write(&mut self, batch: &Batch) -> Result<(), HttpError> {
        for event in outbox_events(batch) {
            self.post(event?).await?;
        }
        Ok(())
    }

    fn is_transient(&self, error: &HttpError) -> bool {
        match error {
            HttpError::NoAnswer { source, .. } => !source.is_builder(),
            HttpError::Refused { status, .. } => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            HttpError::Payload { .. } | HttpError::Outbox(_) => false,
        }
    }
}
