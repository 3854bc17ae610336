//! Requests to Connect's REST interface, and what its answers mean.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::answers::ConnectRefusal;
use super::error::KafkaConnectError;
use crate::cause::innermost;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// An HTTP client for one Connect cluster.
#[derive(Debug, Clone)]
pub(super) struct ConnectHttp {
    http: reqwest::Client,
    base: reqwest::Url,
}

impl ConnectHttp {
    /// A client for the cluster at `url`.
    ///
    /// # Errors
    /// When `url` is not an HTTP address.
    pub fn new(url: &str) -> Result<Self, KafkaConnectError> {
        let failed = |reason: String| KafkaConnectError::Url {
            url: url.to_owned(),
            reason,
        };
        let base = reqwest::Url::parse(url).map_err(|e| failed(e.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(failed(
                "it does not begin with http:// or https://".to_owned(),
            ));
        }
        let http = cdc_bench_stack::http_client()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .build();
        Ok(Self {
            http: http.map_err(|e| failed(e.to_string()))?,
            base,
        })
    }

    /// Address of the cluster.
    pub fn url(&self) -> String {
        self.base.to_string()
    }

    pub fn request(&self, method: Method, path: &[&str]) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Each segment is escaped: a name may contain any character.
            segments.pop_if_empty().extend(path);
        }
        self.http.request(method, url)
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, KafkaConnectError> {
        self.read(self.request(Method::GET, path)).await
    }

    pub async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, KafkaConnectError> {
        let answer = self.send(request).await?;
        answer.json().await.map_err(|e| self.unreachable(&e))
    }

    pub async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, KafkaConnectError> {
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        let message =
            serde_json::from_str::<ConnectRefusal>(&text).map_or(text, |refusal| refusal.message);
        Err(KafkaConnectError::Refused {
            url: self.base.to_string(),
            status,
            message,
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> KafkaConnectError {
        KafkaConnectError::Unreachable {
            url: self.base.to_string(),
            reason: innermost(error).to_string(),
        }
    }

    /// [`KafkaConnectError::NoConnector`], where Connect answered 404.
    pub fn no_connector(&self, error: KafkaConnectError, name: &str) -> KafkaConnectError {
        match error {
            KafkaConnectError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            } => KafkaConnectError::NoConnector {
                url: self.base.to_string(),
                name: name.to_owned(),
            },
            other => other,
        }
    }
}
