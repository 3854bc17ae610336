//! The token of an admin client. The other clients fetch theirs when they are polled; rust-rdkafka polls an admin client for the
//! answers to its requests alone, so it is given one before them.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::bindings::rd_kafka_oauthbearer_set_token;
use rdkafka::client::OAuthToken;

use super::context::BrokerContext;
use super::{oauth, refusal};

/// How long before its end a token is replaced.
const MARGIN: Duration = Duration::from_secs(30);

/// When the token of an admin client ends.
#[derive(Debug, Default)]
pub(super) struct AdminToken {
    /// Milliseconds since 1970.
    until_ms: Mutex<i64>,
}

impl AdminToken {
    /// Gives the client a token, if it needs one and has none that is valid for a while.
    ///
    /// # Errors
    /// When none can be fetched.
    pub(super) async fn renew(
        &self,
        config: &ClientConfig,
        client: &AdminClient<BrokerContext>,
    ) -> Result<(), String> {
        if !refusal::needs_token(config) || self.is_valid() {
            return Ok(());
        }
        let source = config.get("sasl.oauthbearer.config").map(str::to_owned);
        let fetching = tokio::task::spawn_blocking(move || {
            oauth::token(source.as_deref()).map_err(|error| error.to_string())
        });
        let token = fetching.await.map_err(|error| error.to_string())??;
        set(client, &token)?;
        *self.until_ms.lock().unwrap_or_else(PoisonError::into_inner) = token.lifetime_ms;
        Ok(())
    }

    fn is_valid(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let soon = now.unwrap_or_default() + MARGIN;
        let until_ms = *self.until_ms.lock().unwrap_or_else(PoisonError::into_inner);
        u128::try_from(until_ms).is_ok_and(|until| until > soon.as_millis())
    }
}

#[allow(unsafe_code)]
fn set(client: &AdminClient<BrokerContext>, token: &OAuthToken) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|_| "a token holds a zero byte".to_owned());
    let (value, principal) = (text(&token.token)?, text(&token.principal_name)?);
    let mut error = [0; 256];
    // SAFETY: the client lives as long as the borrow; the texts end with zero and outlive the call, which copies them; there are
    // no extensions; and the buffer has the length that is passed.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.inner().native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            std::ptr::null_mut(),
            0,
            error.as_mut_ptr(),
            error.len(),
        )
    };
    match rdkafka::types::RDKafkaErrorCode::from(code) {
        rdkafka::types::RDKafkaErrorCode::NoError => Ok(()),
        code => Err(format!("the token is not accepted: {code}")),
    }
}
