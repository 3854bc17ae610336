//! What the driver has seen of the servers: why none of them can be selected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::ServerType;
use mongodb::error::{Error, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;

use crate::store::StoreError;
use crate::tls_failure::TlsFailure;

/// A server as it was seen last.
#[derive(Debug, Clone)]
struct SeenServer {
    kind: ServerType,
    error: Option<Error>,
}

/// The servers of a client by their addresses.
#[derive(Debug, Clone, Default)]
pub(super) struct ServersSeen(Arc<Mutex<BTreeMap<String, SeenServer>>>);

impl ServersSeen {
    /// Follows the events of a client.
    pub(super) fn handler(&self) -> EventHandler<SdamEvent> {
        let seen = Arc::clone(&self.0);
        EventHandler::callback(move |event| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                SdamEvent::ServerDescriptionChanged(event) => {
                    let server = SeenServer {
                        kind: event.new_description.server_type(),
                        error: event.new_description.error().cloned(),
                    };
                    seen.insert(event.address.to_string(), server);
                }
                SdamEvent::ServerHeartbeatFailed(event) => {
                    let server = SeenServer {
                        kind: ServerType::Unknown,
                        error: Some(event.failure),
                    };
                    seen.insert(event.server_address.to_string(), server);
                }
                SdamEvent::ServerClosed(event) => {
                    seen.remove(&event.address.to_string());
                }
                _ => {}
            }
        })
    }

    /// Why no server could be selected, where that shows. `has_certificate`: we have one to show.
    pub(super) fn why_none(&self, server: &str, has_certificate: bool) -> Option<StoreError> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = seen.iter().find_map(|(address, seen)| {
            let error = seen.error.as_ref()?;
            let failure = TlsFailure::within(io_error(error)?, has_certificate)?;
            Some((address, failure))
        });
        if let Some((address, failure)) = failures {
            return Some(of_tls(address, &failure));
        }
        let is_secondary = |server: &SeenServer| {
            matches!(
                server.kind,
                ServerType::RsSecondary
                    | ServerType::RsArbiter
                    | ServerType::RsOther
                    | ServerType::RsGhost
            )
        };
        let members: Vec<&str> = seen
            .iter()
            .filter(|(_, server)| is_secondary(server))
            .map(|(address, _)| address.as_str())
            .collect();
        if members.is_empty() {
            return None;
        }
        Some(StoreError::NoPrimary {
            server: server.to_owned(),
            members: members.join(", "),
        })
    }
}

/// The system's error within one of the driver.
fn io_error(error: &Error) -> Option<&(dyn std::error::Error + 'static)> {
    match error.kind.as_ref() {
        ErrorKind::Io(error) => Some(error.as_ref()),
        _ => None,
    }
}

fn of_tls(address: &str, failure: &TlsFailure) -> StoreError {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let advice = match failure {
        TlsFailure::Expired(_) => "the server needs a new one",
        TlsFailure::NotYetValid(_) => "check the clocks of both machines",
        TlsFailure::OtherName => "use a name in MONGODB_URI that it is for",
        TlsFailure::UnknownAuthority(_) => {
            "tlsCAFile=FILE in MONGODB_URI names the authority's certificate"
        }
        TlsFailure::CertificateWanted => {
            "tlsCertificateKeyFile=FILE in MONGODB_URI names our certificate and key"
        }
        TlsFailure::CertificateRefused(_) => {
            "the certificate in tlsCertificateKeyFile must be of an authority that the server trusts, and not expired"
        }
        TlsFailure::NoTls => "leave out tls=true in MONGODB_URI, if that is meant",
        TlsFailure::Other(_) => "check the server's TLS settings",
    };
    StoreError::Tls {
        server: address.to_owned(),
        cause: failure.describe("the server", host),
        advice,
    }
}
