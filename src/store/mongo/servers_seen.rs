//! What the driver has seen of the servers: why none of them can be selected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::ServerType;
use mongodb::error::{Error, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;

use crate::store::StoreError;
use crate::tls_failure::{NO_AUTHORITY, TlsFailure};

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
        if !members.is_empty() {
            return Some(StoreError::NoPrimary {
                server: server.to_owned(),
                members: members.join(", "),
            });
        }
        let error = seen.values().find_map(|seen| seen.error.as_ref())?;
        Some(StoreError::Unreachable {
            server: server.to_owned(),
            cause: match io_error(error) {
                Some(error) => error.to_string(),
                None => error.kind.to_string(),
            },
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
        TlsFailure::AuthoritysOwn => NO_AUTHORITY,
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

#[cfg(test)]
mod tests {
    use mongodb::bson::{doc, serialize_to_vec};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::store::MongoStore;
    use cdc_bench_stack::StoreEndpoint;

    /// The protocol's messages: the greeting and its answer, and what came later.
    const OP_REPLY: i32 = 1;
    const OP_QUERY: i32 = 2_004;
    const OP_MSG: i32 = 2_013;
    /// Length, request, response, kind.
    const HEADER_BYTES: i32 = 16;

    /// Answers every greeting as a secondary of the replica set "rs".
    async fn answer_as_secondary(mut socket: TcpStream, address: String) -> std::io::Result<()> {
        let hello = doc! {
            "ok": 1, "ismaster": false, "secondary": true, "setName": "rs", "hosts": [&address],
            "me": &address, "minWireVersion": 0, "maxWireVersion": 21, "maxBsonObjectSize": 16_777_216,
            "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
        };
        let hello = serialize_to_vec(&hello).unwrap();
        loop {
            let length = socket.read_i32_le().await?;
            let request = socket.read_i32_le().await?;
            socket.read_i32_le().await?;
            let kind = socket.read_i32_le().await?;
            let mut body = vec![0; usize::try_from(length - HEADER_BYTES).unwrap()];
            socket.read_exact(&mut body).await?;
            let (kind, before) = match kind {
                // Flags, cursor, first and number of documents.
                OP_QUERY => (OP_REPLY, [&[0; 16][..], &1_i32.to_le_bytes()].concat()),
                // Flags, and a section of one document.
                _ => (OP_MSG, vec![0; 5]),
            };
            let answer = [before, hello.clone()].concat();
            let length = HEADER_BYTES + i32::try_from(answer.len()).unwrap();
            for number in [length, 1, request, kind] {
                socket.write_i32_le(number).await?;
            }
            socket.write_all(&answer).await?;
        }
    }

    /// The address of a secondary.
    async fn secondary() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let member = address.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer_as_secondary(socket, member.clone()));
            }
        });
        address
    }

    #[tokio::test]
    async fn a_server_without_tls_is_told_where_tls_is_asked_for() {
        let address = secondary().await;
        for option in ["tls=true", "tlsInsecure=true", "ssl=true"] {
            let uri =
                format!("mongodb://me:hidden@{address}/?{option}&serverSelectionTimeoutMS=500");
            let endpoint = StoreEndpoint {
                uri: uri.into(),
                database: "d".to_owned(),
            };
            let error = MongoStore::connect(&endpoint).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, StoreError::Tls { .. }), "{option}: {text}");
            assert!(text.contains("without TLS"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_replica_set_without_a_primary_is_named() {
        let address = secondary().await;
        let uri = format!("mongodb://{address}/?replicaSet=rs&serverSelectionTimeoutMS=1500");
        let endpoint = StoreEndpoint {
            uri: uri.into(),
            database: "d".to_owned(),
        };
        let error = MongoStore::connect(&endpoint).await.unwrap_err();
        let StoreError::NoPrimary { members, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*members, address);
        assert!(error.is_transient());
    }
}
