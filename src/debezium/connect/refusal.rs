//! The sentence for a request that Connect, or what is in front of it, did not answer as asked.

use cdc_bench_stack::ConnectEndpoint;
use reqwest::header::{CONTENT_TYPE, HeaderName, LOCATION, SERVER};
use reqwest::{Response, StatusCode};

use super::answers::ConnectRefusal;
use super::error::KafkaConnectError;
use crate::cause::innermost;
use crate::tls_failure::{NO_AUTHORITY, TlsFailure, speaks_tls};

/// Longest text of an answer that is repeated, characters.
const LONGEST_TEXT: usize = 200;

/// What is known of who answered.
pub(super) struct AnswerHead {
    status: StatusCode,
    content_type: String,
    server: String,
}

impl AnswerHead {
    pub(super) fn of(answer: &Response) -> Self {
        let header = |name: HeaderName| {
            let value = answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Self {
            status: answer.status(),
            content_type: header(CONTENT_TYPE),
            server: header(SERVER),
        }
    }

    /// Status, type, server, and a short text; a page is not repeated.
    pub(super) fn describe(&self, body: &[u8]) -> String {
        let kind = self.content_type.split(';').next().unwrap_or_default();
        let mut text = self.status.to_string();
        match kind {
            "" => text += " without a content type",
            kind => text += &format!(" with {kind}"),
        }
        if !self.server.is_empty() {
            text += &format!(" of {}", self.server);
        }
        let body = String::from_utf8_lossy(body);
        let line = body.lines().next().unwrap_or_default().trim();
        if kind == "text/plain" && !line.is_empty() && !line.contains('<') {
            let line: String = line.chars().take(LONGEST_TEXT).collect();
            text += &format!(" ({line})");
        }
        text
    }
}

/// The error of an answer that is no success. `request` is its method and path.
pub(super) async fn of_answer(
    endpoint: &ConnectEndpoint,
    answer: Response,
    request: &str,
) -> KafkaConnectError {
    let url = endpoint.to_string();
    let head = AnswerHead::of(&answer);
    let status = head.status;
    if status.is_redirection() {
        return KafkaConnectError::Redirected {
            url,
            to: target(&answer),
        };
    }
    let body = answer.bytes().await.unwrap_or_default();
    match status {
        StatusCode::UNAUTHORIZED => unauthorized(endpoint),
        StatusCode::FORBIDDEN => KafkaConnectError::Forbidden {
            url,
            user: match &endpoint.login {
                Some(login) => format!("user \"{}\"", login.username),
                None => "us, without a login,".to_owned(),
            },
            request: request.to_owned(),
        },
        status => match serde_json::from_slice::<ConnectRefusal>(&body) {
            Ok(refusal) => KafkaConnectError::Refused {
                url,
                status,
                message: refusal.message,
            },
            // Connect's own refusals have a text in JSON.
            Err(_) if status.is_client_error() && wants_https(endpoint).await => {
                wrong_scheme(url, "it speaks TLS", "write https:// in CONNECT_URL")
            }
            Err(_)
                if matches!(
                    status,
                    StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
                ) =>
            {
                KafkaConnectError::NotConnect {
                    url,
                    what: head.describe(&body),
                }
            }
            Err(_) => KafkaConnectError::Refused {
                url,
                status,
                message: format!(
                    "{}, which is no answer of Connect itself",
                    head.describe(&body)
                ),
            },
        },
    }
}

/// The error of a request without an answer.
pub(super) async fn of_request(
    endpoint: &ConnectEndpoint,
    error: &reqwest::Error,
) -> KafkaConnectError {
    let url = endpoint.to_string();
    let has_certificate = endpoint.tls.certificate.is_some();
    if let Some(failure) = TlsFailure::within(error, has_certificate) {
        return tls(endpoint, &failure);
    }
    if !error.is_connect() && !error.is_timeout() && wants_https(endpoint).await {
        return wrong_scheme(url, "it speaks TLS", "write https:// in CONNECT_URL");
    }
    KafkaConnectError::Unreachable {
        url,
        reason: if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            innermost(error).to_string()
        },
    }
}

fn unauthorized(endpoint: &ConnectEndpoint) -> KafkaConnectError {
    let (reason, advice) = match &endpoint.login {
        Some(login) => (
            format!(
                "does not accept user \"{}\" with this password",
                login.username
            ),
            "check CONNECT_USERNAME and CONNECT_PASSWORD, or user and password in CONNECT_URL (percent-encoded)",
        ),
        None => (
            "asks for a login".to_owned(),
            "set CONNECT_USERNAME and CONNECT_PASSWORD (or CONNECT_PASSWORD_FILE)",
        ),
    };
    KafkaConnectError::Unauthorized {
        url: endpoint.to_string(),
        reason,
        advice,
    }
}

fn tls(endpoint: &ConnectEndpoint, failure: &TlsFailure) -> KafkaConnectError {
    let advice = match failure {
        TlsFailure::Expired(_) => "the server needs a new one",
        TlsFailure::NotYetValid(_) => "check the clocks of both machines",
        TlsFailure::OtherName => "use a name in CONNECT_URL that it is for",
        TlsFailure::UnknownAuthority(_) => {
            "CONNECT_SSL_CA is the file with the authority's certificate"
        }
        TlsFailure::AuthoritysOwn => NO_AUTHORITY,
        TlsFailure::CertificateWanted => "set CONNECT_SSL_CERTIFICATE and CONNECT_SSL_KEY",
        TlsFailure::CertificateRefused(_) => {
            "CONNECT_SSL_CERTIFICATE must be of an authority that the server trusts, not expired, with those between them in the file"
        }
        TlsFailure::NoTls => "write http:// in CONNECT_URL, if that is meant",
        TlsFailure::Other(_) => "check the server's TLS settings",
    };
    KafkaConnectError::Tls {
        url: endpoint.to_string(),
        reason: failure.describe("the server", endpoint.host()),
        advice,
    }
}

fn wrong_scheme(url: String, reason: &str, advice: &'static str) -> KafkaConnectError {
    KafkaConnectError::Tls {
        url,
        reason: reason.to_owned(),
        advice,
    }
}

/// Whether the port of an address that begins with `http://` speaks TLS.
async fn wants_https(endpoint: &ConnectEndpoint) -> bool {
    !endpoint.is_tls() && speaks_tls(endpoint.host(), endpoint.port()).await
}

/// Where a redirect leads: host and path, without what may be secret.
fn target(answer: &Response) -> String {
    let location = answer.headers().get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    let Some(mut to) = location.and_then(|text| answer.url().join(text).ok()) else {
        return "nowhere".to_owned();
    };
    to.set_query(None);
    to.set_fragment(None);
    // These fail for addresses without a host only.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    to.to_string()
}

#[cfg(test)]
mod tests;
