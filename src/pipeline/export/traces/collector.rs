//! The client of an OTLP receiver over HTTP.

use prost::Message;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};

use crate::cause::innermost;

/// Longest wait for a response.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Path of the traces, below the receiver's address.
const TRACES: &str = "v1/traces";

/// Why traces are not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address is invalid.
    #[error(
        "{address:?} is no address of an OTLP receiver: {reason}; such as http://127.0.0.1:4318"
    )]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The receiver is unreachable.
    #[error("no OTLP receiver answers at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: Url,
        /// Why.
        reason: String,
    },
    /// The receiver rejects all spans, or some.
    #[error("the OTLP receiver at {url} refuses: {reason}")]
    Refused {
        /// Where.
        url: Url,
        /// What it says.
        reason: String,
    },
}

/// An OTLP receiver.
#[derive(Debug)]
pub(super) struct Collector {
    http: reqwest::Client,
    url: Url,
}

impl Collector {
    /// The receiver at an address. `/v1/traces` is added, as for OpenTelemetry's own `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(super) fn at(address: &str) -> Result<Self, TracesError> {
        let failed = |reason: &str| TracesError::Address {
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        // What stands before an @ may be a password, and must not appear in messages.
        if address.contains('@') {
            return Err(TracesError::Address {
                address: "...@...".to_owned(),
                reason: "credentials do not belong on a command line".to_owned(),
            });
        }
        let base = address.trim_end_matches('/').trim_end_matches("/v1/traces");
        let url = Url::parse(&format!("{base}/{TRACES}")).map_err(|e| failed(&e.to_string()))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(failed("neither http nor https"));
        }
        let http = cdc_bench_stack::http_client()
            .timeout(TIMEOUT)
            .build()
            .map_err(|e| failed(&e.to_string()))?;
        Ok(Self { http, url })
    }

    /// Sends the spans of one request. If the receiver rejects some of them, they are lost, and that is an error.
    pub(super) async fn export(
        &self,
        request: ExportTraceServiceRequest,
    ) -> Result<(), TracesError> {
        let sent = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(request.encode_to_vec())
            .send();
        let answer = sent.await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = answer.bytes().await;
        let body = body.map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(self.refused(&status_line(status)));
        }
        // A receiver with another response has accepted them all the same.
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        match answer.partial_success {
            Some(part) if part.rejected_spans > 0 => Err(self.refused(&format!(
                "{} spans: {}",
                part.rejected_spans, part.error_message
            ))),
            _ => Ok(()),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> TracesError {
        TracesError::Unreachable {
            url: self.url.clone(),
            reason: innermost(error).to_string(),
        }
    }

    fn refused(&self, reason: &str) -> TracesError {
        TracesError::Refused {
            url: self.url.clone(),
            reason: reason.to_owned(),
        }
    }
}

fn status_line(status: StatusCode) -> String {
    match status {
        StatusCode::NOT_FOUND => {
            format!("{status}; OTLP over HTTP is usually on port 4318")
        }
        status => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_or_without_its_path_is_the_same_receiver() {
        let url = |address| Collector::at(address).map(|c| c.url.to_string());
        let whole = "http://127.0.0.1:4318/v1/traces";
        for address in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/", whole] {
            assert_eq!(url(address).unwrap(), whole);
        }
        let below = url("https://tempo.example/otlp").unwrap();
        assert_eq!(below, "https://tempo.example/otlp/v1/traces");
    }

    #[test]
    fn what_is_no_address_is_refused_and_a_password_is_not_repeated() {
        for address in ["4318", "127.0.0.1:4318", "grpc://localhost:4317", ""] {
            let refused = Collector::at(address).unwrap_err().to_string();
            assert!(refused.contains("http://127.0.0.1:4318"), "{refused}");
        }
        let refused = Collector::at("http://me:secret@host").unwrap_err();
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}
