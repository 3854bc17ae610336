//! Whether a server that cannot be reached speaks TLS where we do not, or does not where we do.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::doc;
use mongodb::error::ErrorKind;
use mongodb::options::{ClientOptions, ServerAddress, Tls};

use crate::store::StoreError;
use crate::tls_failure::speaks_tls;

/// The port of an address without one.
const DEFAULT_PORT: u16 = 27_017;
/// Longest wait for an answer without TLS.
const PLAIN_LIMIT: Duration = Duration::from_secs(3);

/// The error of a server that speaks TLS, where we were not told to.
pub(super) async fn wants_tls(addresses: &[ServerAddress]) -> Option<StoreError> {
    for address in addresses {
        if let ServerAddress::Tcp { host, port } = address
            && speaks_tls(host, port.unwrap_or(DEFAULT_PORT)).await
        {
            return Some(StoreError::Tls {
                server: address.to_string(),
                cause: "the server speaks TLS".to_owned(),
                advice: "set tls=true in MONGODB_URI",
            });
        }
    }
    None
}

/// The error of a server that answers without TLS, where we were told to use it. No login is sent.
pub(super) async fn answers_plain(mut options: ClientOptions) -> Option<StoreError> {
    let server = options.hosts.first()?.clone();
    options.hosts = vec![server.clone()];
    options.direct_connection = Some(true);
    options.load_balanced = None;
    options.repl_set_name = None;
    options.srv_max_hosts = None;
    options.tls = Some(Tls::Disabled);
    options.credential = None;
    options.sdam_event_handler = None;
    options.server_selection_timeout = Some(PLAIN_LIMIT);
    let client = Client::with_options(options).ok()?;
    let database = client.database("admin");
    let answers = match database.run_command(doc! { "hello": 1 }).await {
        Ok(_) => true,
        Err(error) => matches!(error.kind.as_ref(), ErrorKind::Command(_)),
    };
    answers.then(|| StoreError::Tls {
        server: server.to_string(),
        cause: "the server answers without TLS".to_owned(),
        advice: "leave out tls=true and tlsInsecure=true in MONGODB_URI, if that is meant",
    })
}
