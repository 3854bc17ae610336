//! Tokens for Kafka's mechanism OAUTHBEARER: from an issuer by client credentials, or from a program.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cdc_bench_stack::{TokenSource, http_client};
use rdkafka::client::OAuthToken;
use serde::Deserialize;

/// Longest wait for an issuer or a program.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a token is used that does not say how long it is valid.
const DEFAULT_LIFETIME_S: u64 = 300;

/// The answer of an issuer, and what a program may print.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(alias = "token")]
    access_token: String,
    /// Seconds.
    expires_in: Option<u64>,
}

/// A fresh token of the source that the client's configuration names. Blocks.
pub(super) fn token(source: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
    let source = source
        .and_then(TokenSource::from_config)
        .ok_or("no source of tokens is configured")?;
    // librdkafka calls on a thread of its own, or on one of ours that may belong to a runtime.
    let fetched = std::thread::spawn(move || fetch(source)).join();
    let answer = fetched.map_err(|_| "fetching a token panicked")??;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let expires_in = answer.expires_in.unwrap_or(DEFAULT_LIFETIME_S);
    let until = now + Duration::from_secs(expires_in);
    Ok(OAuthToken {
        token: answer.access_token,
        // The broker takes it from the token.
        principal_name: "cdc-bench".to_owned(),
        lifetime_ms: i64::try_from(until.as_millis())?,
    })
}

fn fetch(source: TokenSource) -> Result<TokenAnswer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        match source {
            TokenSource::ClientCredentials {
                url,
                client_id,
                client_secret,
                scope,
            } => {
                let mut form = vec![("grant_type", "client_credentials")];
                form.extend(scope.as_deref().map(|scope| ("scope", scope)));
                let client = http_client().timeout(LIMIT).build();
                let request = client
                    .map_err(|error| error.to_string())?
                    .post(&url)
                    .basic_auth(&client_id, Some(&client_secret))
                    .form(&form);
                let answer = request
                    .send()
                    .await
                    .map_err(|error| format!("no token from {url}: {}", cause(&error)))?;
                let status = answer.status();
                if !status.is_success() {
                    return Err(format!(
                        "no token from {url} for client \"{client_id}\": it answers {status}"
                    ));
                }
                let text = answer.text().await.map_err(|error| cause(&error))?;
                parse(&text).ok_or_else(|| format!("the answer of {url} holds no access_token"))
            }
            TokenSource::Command(command) => run(&command).await,
        }
    })
}

/// The innermost cause: the outer ones repeat the address.
fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

async fn run(command: &[String]) -> Result<TokenAnswer, String> {
    let (program, arguments) = command
        .split_first()
        .ok_or("KAFKA_OAUTH_COMMAND is empty")?;
    let running = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, running)
        .await
        .map_err(|_| format!("{program} printed no token within {} s", LIMIT.as_secs()))?
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} printed no token: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| format!("{program} printed no token"))
}

/// A token: as JSON with `access_token`, or the token itself.
fn parse(text: &str) -> Option<TokenAnswer> {
    let text = text.trim();
    if text.starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| TokenAnswer {
        access_token: text.to_owned(),
        expires_in: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_command(words: &[&str]) -> Result<OAuthToken, String> {
        let command = words.iter().map(|word| (*word).to_owned()).collect();
        let source = serde_json::json!(TokenSource::Command(command)).to_string();
        token(Some(&source)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_prints_a_token_or_json_or_is_named() {
        assert_eq!(from_command(&["echo", "abc.def"]).unwrap().token, "abc.def");
        let json = r#"{"token":"abc","expires_in":60}"#;
        let token = from_command(&["echo", json]).unwrap();
        assert_eq!(token.token, "abc");
        for (command, words) in [
            (&["false"][..], "false printed no token"),
            (&["echo"], "echo printed no token"),
            (&["echo", "{}"], "echo printed no token"),
            (&["/nowhere/signer"], "/nowhere/signer: No such file"),
            (&[], "KAFKA_OAUTH_COMMAND is empty"),
        ] {
            let error = from_command(command).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
        assert!(super::token(None).is_err());
    }
}
