//! The connector's metrics by JMX: Jolokia, or a page of Prometheus'.

use std::time::Duration;

use cdc_bench_model::observation::diagnosis::ConnectorMetrics;
use reqwest::Url;

use super::attribute::{Attribute, Names};
use super::{jolokia, prometheus};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A page of Connect with many connectors has some megabytes.
const MOST_BYTES: usize = 32 << 20;

/// Where a connector's metrics are: Jolokia (an address with `jolokia` in its path), or a page in Prometheus' text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsAddress(Url);

/// Why an address of metrics cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetricsAddressError {
    /// It is none.
    #[error(
        "{0}; it is the address of Jolokia, such as http://connect:8778/jolokia, or of a page of metrics, such as http://connect:9404/metrics"
    )]
    NotAnAddress(String),
    /// It has a login.
    #[error(
        "an address with a user or a password would be seen in the list of processes; let this host read the metrics without one"
    )]
    Login,
    /// It does not answer, or not with metrics.
    #[error("no metrics of the connector at {server} (--connect-metrics): {reason}")]
    Unreadable {
        /// Its address.
        server: String,
        /// What failed.
        reason: String,
    },
}

impl std::str::FromStr for MetricsAddress {
    type Err = MetricsAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text)
            .map_err(|error| MetricsAddressError::NotAnAddress(error.to_string()))?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            let reason = format!("\"{}\" is neither http nor https", url.scheme());
            return Err(MetricsAddressError::NotAnAddress(reason));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(MetricsAddressError::Login);
        }
        Ok(Self(url))
    }
}

/// Reads the metrics of one connector.
pub(super) struct MetricsWatch {
    http: reqwest::Client,
    address: MetricsAddress,
    names: Names,
    seen: ConnectorMetrics,
}

impl MetricsWatch {
    /// A watch that has read them once.
    ///
    /// # Errors
    /// When they are not there.
    pub(super) async fn open(
        address: MetricsAddress,
        names: Names,
    ) -> Result<Self, MetricsAddressError> {
        let server = address.0.to_string();
        let unreadable = |reason: String| MetricsAddressError::Unreadable { server, reason };
        let http = cdc_bench_stack::http_client()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let http = match http {
            Ok(http) => http,
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let mut watch = Self {
            http,
            address,
            names,
            seen: ConnectorMetrics::default(),
        };
        match watch.look().await {
            Ok(()) => Ok(watch),
            Err(reason) => Err(unreadable(reason)),
        }
    }

    /// Reads them.
    pub(super) async fn look(&mut self) -> Result<(), String> {
        let found = if self.address.0.path().contains("jolokia") {
            let mut found = Vec::new();
            for path in jolokia::paths(&self.names) {
                let base = self.address.0.as_str().trim_end_matches('/');
                let body = self.get(&format!("{base}/{path}")).await?;
                match jolokia::read(&body) {
                    Ok(attributes) => found.extend(attributes),
                    // The task's are registered with its first batch.
                    Err(reason) if found.is_empty() => return Err(reason),
                    Err(reason) => tracing::debug!(reason, "some of the connector's metrics"),
                }
            }
            found
        } else {
            let body = self.get(self.address.0.as_str()).await?;
            prometheus::read(&String::from_utf8_lossy(&body), &self.names)
        };
        if found.is_empty() {
            return Err(format!(
                "it has none of QueueRemainingCapacity, QueueTotalCapacity and MilliSecondsBehindSource of connector \"{}\" (topic.prefix {})",
                self.names.connector, self.names.prefix
            ));
        }
        for (attribute, value) in found {
            take(&mut self.seen, attribute, value);
        }
        Ok(())
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let answer = self.http.get(url).send().await;
        let mut answer = answer.map_err(|error| crate::cause::innermost(&error).to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| error.to_string())? {
            body.extend_from_slice(&part);
            if body.len() > MOST_BYTES {
                return Err(format!(
                    "its answer is longer than {} MiB",
                    MOST_BYTES >> 20
                ));
            }
        }
        Ok(body)
    }

    pub(super) fn seen(&self) -> ConnectorMetrics {
        self.seen
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts and milliseconds, checked to be whole and in range
fn take(seen: &mut ConnectorMetrics, attribute: Attribute, value: f64) {
    // What was never measured is NaN.
    if !value.is_finite() || value.abs() > 1e15 {
        return;
    }
    let count = value.max(0.0) as u64;
    match attribute {
        Attribute::QueueCapacity => seen.queue_capacity = Some(count),
        Attribute::QueueFree => {
            seen.queue_least_free = Some(seen.queue_least_free.map_or(count, |f| f.min(count)));
        }
        Attribute::BehindSource => {
            seen.most_behind_ms = seen.most_behind_ms.max(Some(value as i64))
        }
        Attribute::BatchSize => seen.batch_size_max = seen.batch_size_max.max(Some(count)),
    }
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn names() -> Names {
        Names {
            prefix: "shop".to_owned(),
            connector: "shop".to_owned(),
        }
    }

    #[test]
    fn an_address_is_one_and_has_no_login() {
        for wrong in ["connect:9404", "ftp://connect/x", "", "http://"] {
            assert!(wrong.parse::<MetricsAddress>().is_err(), "{wrong}");
        }
        let login = "http://me:secret@connect:8778/jolokia".parse::<MetricsAddress>();
        let error = login.unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(
            "http://connect:8778/jolokia/"
                .parse::<MetricsAddress>()
                .is_ok()
        );
    }

    #[tokio::test]
    async fn extremes_of_all_looks_are_kept() {
        let server = MockServer::start().await;
        let body = |free, behind| {
            format!(
                "debezium_metrics_QueueTotalCapacity{{name=\"shop\"}} 8192\n\
                 debezium_metrics_QueueRemainingCapacity{{name=\"shop\"}} {free}\n\
                 debezium_metrics_MilliSecondsBehindSource{{name=\"shop\"}} {behind}\n\
                 kafka_connect_connector_task_metrics_batch_size_max{{connector=\"shop\"}} NaN\n"
            )
        };
        for text in [body(8_000, -1), body(12, 700), body(8_192, 3)] {
            let answer = ResponseTemplate::new(200).set_body_string(text);
            let mock = Mock::given(path("/metrics")).respond_with(answer);
            mock.up_to_n_times(1).mount(&server).await;
        }
        let address = format!("{}/metrics", server.uri()).parse().unwrap();
        let mut watch = MetricsWatch::open(address, names()).await.unwrap();
        watch.look().await.unwrap();
        watch.look().await.unwrap();
        assert_eq!(
            watch.seen(),
            ConnectorMetrics {
                queue_capacity: Some(8_192),
                queue_least_free: Some(12),
                most_behind_ms: Some(700),
                batch_size_max: None,
            }
        );
    }

    #[tokio::test]
    async fn a_page_without_the_connectors_metrics_is_refused() {
        let server = MockServer::start().await;
        let other = "debezium_metrics_QueueTotalCapacity{name=\"other\"} 8192\n";
        let answer = ResponseTemplate::new(200).set_body_string(other);
        Mock::given(path("/metrics"))
            .respond_with(answer)
            .mount(&server)
            .await;
        for (at, says) in [("metrics", "topic.prefix shop"), ("nothing", "404")] {
            let address = format!("{}/{at}", server.uri()).parse().unwrap();
            let error = MetricsWatch::open(address, names()).await.err().unwrap();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
