//! The endpoint for Prometheus, `GET /metrics`, and for probes, `GET /healthz`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::exported::Exported;

/// Content type of Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Content type of a probe's answer.
const JSON: &str = "application/json";

/// Why the endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; choose another address with --metrics-listen")]
pub struct EndpointError {
    address: SocketAddr,
    reason: String,
}

/// Serves the metrics until it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the address is in use, or not one of this machine.
    pub async fn listen(
        address: SocketAddr,
        metrics: Arc<dyn Exported>,
    ) -> Result<Self, EndpointError> {
        let failed = |error: std::io::Error| EndpointError {
            address,
            reason: error.to_string(),
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "whoever reaches this address can read the metrics: they are not encrypted, and nobody is asked for a password");
        }
        Ok(Self {
            address,
            task: tokio::spawn(answer(listener, metrics)),
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(listener: TcpListener, metrics: Arc<dyn Exported>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "nobody was let in");
                // Most likely out of file descriptors: an immediate retry would fail as well.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = respond(&request, &*metrics);
                async { Ok::<_, Infallible>(answer) }
            });
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a scrape was cut off");
            }
        });
    }
}

fn respond(request: &Request<Incoming>, metrics: &dyn Exported) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, TEXT, metrics.text()),
        (&Method::GET, "/healthz") => match metrics.health() {
            Some(answer) => {
                let status = if answer.is_healthy {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                (status, JSON, answer.json.into_bytes())
            }
            None => nothing_there(),
        },
        (&Method::GET, _) => nothing_there(),
        _ => (
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            b"only GET is answered\n".to_vec(),
        ),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn nothing_there() -> (StatusCode, &'static str, Vec<u8>) {
    let body = b"the metrics are at /metrics\n".to_vec();
    (StatusCode::NOT_FOUND, "text/plain", body)
}
