//! Requests to Connect's REST interface.

use std::time::Duration;

use cdc_bench_stack::ConnectEndpoint;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::error::KafkaConnectError;
use super::refusal;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An HTTP client for one Connect cluster.
#[derive(Debug, Clone)]
pub(super) struct ConnectHttp {
    http: reqwest::Client,
    endpoint: ConnectEndpoint,
}

impl ConnectHttp {
    /// A client for the cluster at `endpoint`.
    ///
    /// # Errors
    /// When its certificates cannot be used.
    pub fn new(endpoint: &ConnectEndpoint) -> Result<Self, KafkaConnectError> {
        let http =
            endpoint.client(|builder| builder.timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT))?;
        Ok(Self {
            http,
            endpoint: endpoint.clone(),
        })
    }

    /// Address of the cluster, without the login.
    pub fn url(&self) -> String {
        self.endpoint.to_string()
    }

    pub fn request(&self, method: Method, path: &[&str]) -> reqwest::RequestBuilder {
        self.endpoint.request(&self.http, method, path)
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, KafkaConnectError> {
        self.read(self.request(Method::GET, path)).await
    }

    pub async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, KafkaConnectError> {
        let answer = self.send(request).await?;
        let head = refusal::AnswerHead::of(&answer);
        let body = answer.bytes().await;
        let body = match body {
            Ok(body) => body,
            Err(error) => return Err(refusal::of_request(&self.endpoint, &error).await),
        };
        serde_json::from_slice(&body).map_err(|_| KafkaConnectError::NotConnect {
            url: self.url(),
            what: head.describe(&body),
        })
    }

    pub async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, KafkaConnectError> {
        let (client, request) = request.build_split();
        let sent = async {
            let request = request?;
            let what = format!("{} {}", request.method(), request.url().path());
            Ok::<_, reqwest::Error>((client.execute(request).await?, what))
        };
        match sent.await {
            Ok((answer, _)) if answer.status().is_success() => Ok(answer),
            Ok((answer, what)) => Err(refusal::of_answer(&self.endpoint, answer, &what).await),
            Err(error) => Err(refusal::of_request(&self.endpoint, &error).await),
        }
    }

    /// [`KafkaConnectError::NoConnector`], where Connect answered 404.
    pub fn no_connector(&self, error: KafkaConnectError, name: &str) -> KafkaConnectError {
        match error {
            KafkaConnectError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            } => KafkaConnectError::NoConnector {
                url: self.url(),
                name: name.to_owned(),
            },
            other => other,
        }
    }
}
