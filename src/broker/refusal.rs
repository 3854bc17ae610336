//! The first connection to a cluster, and the sentence for what it was refused for.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use super::context::{BrokerContext, Refusal, RefusalKind};
use super::error::{BrokerError, bootstrap_of};
use super::tls_probe;

/// Longest wait for the first answer.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a listener may be silent before it is looked whether it speaks TLS.
const GREETING: Duration = Duration::from_secs(3);
/// How long an answer is waited for before it is looked whether the connection was refused.
const SLICE: Duration = Duration::from_millis(250);

/// How long a consumer is polled for errors, or for the request for its token.
const POLL: Duration = Duration::from_millis(100);

/// Whether clients of this configuration authenticate by a token.
pub(super) fn needs_token(config: &ClientConfig) -> bool {
    config.get("sasl.mechanism") == Some("OAUTHBEARER")
}

/// Fetches the token of a consumer that is going to be asked for something before it is polled for records.
pub(super) fn fetch_token<C: ConsumerContext>(config: &ClientConfig, consumer: &BaseConsumer<C>) {
    if needs_token(config) {
        consumer.poll(POLL);
    }
}

/// Waits for a first answer of a broker.
///
/// # Errors
/// [`BrokerError::Refused`] as soon as a broker refuses, [`BrokerError::Unreachable`] when none answers within ten seconds.
pub(super) async fn check(config: &ClientConfig) -> Result<(), BrokerError> {
    let bootstrap = bootstrap_of(config);
    let unreachable = |reason: String| BrokerError::Unreachable {
        bootstrap: bootstrap.clone(),
        reason,
    };
    let mut reason = String::new();
    for limit in [GREETING, LIMIT - GREETING] {
        let clients = config.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&clients, limit)).await;
        match asked.map_err(|error| unreachable(error.to_string()))? {
            Ok(()) => return Ok(()),
            Err(Unanswered::Refused(refusal)) => return Err(sentence(config, &refusal).await),
            Err(Unanswered::Silent(said)) => {
                if let Some(error) = greeted_wrongly(config, &said).await {
                    return Err(error);
                }
                reason = said;
            }
        }
    }
    Err(unreachable(reason))
}

/// The error of a listener that is greeted with TLS and speaks none, or the other way round: it hangs up without a word.
async fn greeted_wrongly(config: &ClientConfig, reason: &str) -> Option<BrokerError> {
    let protocol = config.get("security.protocol").unwrap_or("PLAINTEXT");
    match (tls_probe::is_tls(config).await?, protocol.ends_with("SSL")) {
        (true, false) => {
            let refusal = Refusal {
                kind: RefusalKind::Protocol,
                reason: reason.to_owned(),
            };
            Some(sentence(config, &refusal).await)
        }
        (false, true) => {
            let problem = tls_probe::TlsProblem::no_tls();
            Some(BrokerError::Refused {
                bootstrap: bootstrap_of(config),
                reason: problem.reason,
                advice: problem.advice,
            })
        }
        _ => None,
    }
}

enum Unanswered {
    Refused(Refusal),
    Silent(String),
}

fn ask(config: &ClientConfig, limit: Duration) -> Result<(), Unanswered> {
    let context = BrokerContext::default();
    let consumer: BaseConsumer<_> = config
        .create_with_context(context.clone())
        .map_err(|error| Unanswered::Silent(error.to_string()))?;
    let began = Instant::now();
    loop {
        fetch_token(config, &consumer);
        let error = match consumer.fetch_metadata(None, SLICE) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // Errors come to who polls.
        consumer.poll(POLL);
        if let Some(refusal) = context.refusal() {
            return Err(Unanswered::Refused(refusal));
        }
        if began.elapsed() >= limit {
            return Err(Unanswered::Silent(error.to_string()));
        }
    }
}

/// What was refused, and what to do.
async fn sentence(config: &ClientConfig, refusal: &Refusal) -> BrokerError {
    let user = config.get("sasl.username");
    let said = last_part(&refusal.reason);
    let (reason, advice) = match refusal.kind {
        RefusalKind::Tls => match tls_probe::problem(config).await {
            Some(problem) => (problem.reason, problem.advice),
            None => (
                said.to_owned(),
                "the settings are KAFKA_SSL_CA, KAFKA_SSL_CERTIFICATE and KAFKA_SSL_KEY".to_owned(),
            ),
        },
        RefusalKind::Authentication if said.contains("Unsupported SASL mechanism") || said.contains("supported mechanisms") => (
            said.to_owned(),
            "KAFKA_SASL_MECHANISM is one that the listener has".to_owned(),
        ),
        RefusalKind::Authentication => match user {
            Some(user) => (
                format!("the password of user \"{user}\", or the user ({said})"),
                "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM".to_owned(),
            ),
            None => {
                let reason = match said.split_once("Failed to acquire SASL OAUTHBEARER token: ") {
                    Some((_, cause)) => format!("there is no token to log in with ({cause})"),
                    None => format!("our token ({said})"),
                };
                let advice = "check KAFKA_OAUTH_TOKEN_URL, KAFKA_OAUTH_CLIENT_ID, KAFKA_OAUTH_CLIENT_SECRET and KAFKA_OAUTH_SCOPE, or KAFKA_OAUTH_COMMAND";
                (reason, advice.to_owned())
            }
        },
        RefusalKind::Protocol => (
            format!(
                "the listener hangs up on {}",
                config.get("security.protocol").unwrap_or("PLAINTEXT")
            ),
            "it may want TLS or a user: set KAFKA_SECURITY_PROTOCOL to the listener's (SSL, SASL_SSL, SASL_PLAINTEXT); or it is no Kafka: check host and port in KAFKA_BOOTSTRAP_SERVERS".to_owned(),
        ),
    };
    BrokerError::Refused {
        bootstrap: bootstrap_of(config),
        reason,
        advice,
    }
}

/// librdkafka's message without the broker's name before it and the state after it.
fn last_part(reason: &str) -> &str {
    let text = reason
        .split_once("/bootstrap: ")
        .map_or(reason, |(_, rest)| rest);
    let end = text.rfind(" (after ").unwrap_or(text.len());
    text[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: RefusalKind, reason: &str, user: Option<&str>) -> String {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "k:9093");
        if let Some(user) = user {
            config
                .set("sasl.username", user)
                .set("sasl.password", "hidden");
        }
        let refusal = Refusal {
            kind,
            reason: reason.to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let error = runtime.unwrap().block_on(sentence(&config, &refusal));
        error.to_string()
    }

    #[test]
    fn a_refusal_says_what_was_refused_and_what_to_check() {
        let reason = "sasl_ssl://k:9093/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256 (after 312ms in state AUTH_REQ)";
        let text = refused(RefusalKind::Authentication, reason, Some("me"));
        assert!(text.contains("the password of user \"me\""), "{text}");
        assert!(
            text.contains("invalid credentials with SASL mechanism SCRAM-SHA-256);"),
            "{text}"
        );
        assert!(!text.contains("hidden"), "{text}");
        let text = refused(RefusalKind::Authentication, reason, None);
        assert!(text.contains("KAFKA_OAUTH_CLIENT_SECRET"), "{text}");
        let text = refused(RefusalKind::Protocol, "Disconnected", None);
        assert!(text.contains("hangs up on PLAINTEXT"), "{text}");
    }
}
