//! The greeting of a session, and the proof of who we are.

use pgwire_replication::protocol::framing::{
    BackendMessage, read_backend_message, write_password_message, write_startup_message,
};
use pgwire_replication::protocol::parse_auth_request;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use secrecy::ExposeSecret;

use super::{ServerMessage, Socket, WireError};
use crate::Server;
use crate::server::tls_config::ChannelBinding;

/// Version 3.0 of the protocol.
const PROTOCOL: i32 = 196_608;

/// Requests for a password: as it is, hashed, or by SCRAM.
const CLEARTEXT: i32 = 3;
const MD5: i32 = 5;
const SASL: i32 = 10;

fn authentication_name(kind: i32) -> String {
    match kind {
        2 => "Kerberos (krb5)".to_owned(),
        6 => "an SCM credential".to_owned(),
        7 | 8 => "GSSAPI (Kerberos)".to_owned(),
        9 => "SSPI".to_owned(),
        kind => format!("an authentication of kind {kind}"),
    }
}

/// What a session is for.
pub(super) struct SessionKind {
    application_name: &'static str,
    is_replication: bool,
}

/// A replication session.
pub(super) const REPLICATION: SessionKind = SessionKind {
    application_name: "pgcdc",
    is_replication: true,
};
/// A session that copies tables.
pub(super) const COPY: SessionKind = SessionKind {
    application_name: "pgcdc-snapshot",
    is_replication: false,
};

/// Greets the server, and authenticates. Returns the id of the server's process.
pub(super) async fn start(
    socket: &mut Socket,
    server: &Server,
    kind: &SessionKind,
) -> Result<Option<u32>, WireError> {
    let options = if kind.is_replication {
        server.session_options()
    } else {
        server.sql_session_options()
    };
    let name = server.application_name.as_deref();
    let mut parameters = vec![
        ("user", &*server.user),
        ("database", &*server.database),
        ("client_encoding", "UTF8"),
        ("application_name", name.unwrap_or(kind.application_name)),
        ("options", &*options),
    ];
    if kind.is_replication {
        parameters.push(("replication", "database"));
    }
    write_startup_message(socket, PROTOCOL, &parameters).await?;
    let mut authentication = Authentication {
        server,
        is_bound: false,
    };
    let mut pid = None;
    loop {
        let message = read(socket).await?;
        match message.tag {
            b'R' => authentication.answer(socket, &message.payload).await?,
            b'K' => pid = first_u32(&message.payload),
            b'Z' => return Ok(pid),
            // Settings and notices.
            _ => {}
        }
    }
}

fn first_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The next message. An error of the server is one here, too.
pub(super) async fn read(socket: &mut Socket) -> Result<BackendMessage, WireError> {
    let message = read_backend_message(socket).await?;
    if message.tag == b'E' {
        let error = ServerMessage::parse(&message.payload);
        return Err(WireError::Server(Box::new(error)));
    }
    Ok(message)
}

/// The proof of who we are.
struct Authentication<'a> {
    server: &'a Server,
    /// Whether SCRAM has bound it to the TLS session.
    is_bound: bool,
}

impl Authentication<'_> {
    /// Answers a request of the server for a proof. Its last one says that there is nothing more to prove.
    async fn answer(&mut self, socket: &mut Socket, request: &[u8]) -> Result<(), WireError> {
        let (kind, data) = parse_auth_request(request)?;
        let must_be_bound = self.server.tls.channel_binding == ChannelBinding::Require;
        if must_be_bound && !self.is_bound && kind != SASL {
            return Err(unbound("the server asks for no SCRAM"));
        }
        if kind == 0 {
            return Ok(());
        }
        if !matches!(kind, CLEARTEXT | MD5 | SASL) {
            return Err(WireError::Auth(format!(
                "the server asks for {}, and not for a password, SCRAM-SHA-256 or MD5",
                authentication_name(kind)
            )));
        }
        let password = self.server.password.as_ref();
        let password = password.ok_or(WireError::NoPassword)?;
        let password = password.expose_secret().as_bytes();
        match kind {
            CLEARTEXT => Ok(write_password_message(socket, &terminated(password)).await?),
            MD5 => {
                let salt = data.first_chunk().ok_or_else(|| unexpected("a salt"))?;
                let hash = md5_hash(self.server.user.as_bytes(), password, *salt);
                Ok(write_password_message(socket, &terminated(hash.as_bytes())).await?)
            }
            _ => self.scram(socket, data, password).await,
        }
    }

    async fn scram(
        &mut self,
        socket: &mut Socket,
        offered: &[u8],
        password: &[u8],
    ) -> Result<(), WireError> {
        let refused = |error: std::io::Error| WireError::Auth(error.to_string());
        let (mechanism, binding) = self.mechanism(socket, offered)?;
        let mut scram = ScramSha256::new(password, binding);
        let mut first = terminated(mechanism.as_bytes());
        let message = scram.message();
        let length = i32::try_from(message.len()).map_err(|_| unexpected("a short message"))?;
        first.extend_from_slice(&length.to_be_bytes());
        first.extend_from_slice(message);
        write_password_message(socket, &first).await?;
        let answer = continued(socket, 11).await?;
        scram.update(&answer).map_err(refused)?;
        write_password_message(socket, scram.message()).await?;
        let answer = continued(socket, 12).await?;
        scram.finish(&answer).map_err(refused)?;
        self.is_bound = mechanism == SCRAM_SHA_256_PLUS;
        Ok(())
    }

    /// The mechanism of SCRAM: with channel binding where both sides can.
    fn mechanism(
        &self,
        socket: &Socket,
        offered: &[u8],
    ) -> Result<(&'static str, sasl::ChannelBinding), WireError> {
        let setting = self.server.tls.channel_binding;
        let offers = |name: &str| {
            let mut offered = offered.split(|byte| *byte == 0);
            offered.any(|found| found == name.as_bytes())
        };
        let hash = socket
            .endpoint_hash()
            .filter(|_| setting != ChannelBinding::Disable);
        let must_be_bound = setting == ChannelBinding::Require;
        match hash {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
                let binding = sasl::ChannelBinding::tls_server_end_point(hash);
                Ok((SCRAM_SHA_256_PLUS, binding))
            }
            None if must_be_bound && !socket.is_encrypted() => {
                Err(unbound("the connection is not encrypted"))
            }
            _ if must_be_bound => Err(unbound(
                "the server does not offer it, or its certificate's signature has no hash for it",
            )),
            _ if !offers(SCRAM_SHA_256) => Err(unexpected("SCRAM-SHA-256 among its mechanisms")),
            // "We could, and the server did not offer it": it notices if somebody in between has removed its offer.
            Some(_) => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unrequested())),
            None => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unsupported())),
        }
    }
}

fn unbound(reason: &str) -> WireError {
    WireError::Auth(format!(
        "channel binding is required (channel_binding=require), and {reason}"
    ))
}

/// The data of the authentication message of this kind, which comes next.
async fn continued(socket: &mut Socket, kind: i32) -> Result<Vec<u8>, WireError> {
    let message = read(socket).await?;
    match parse_auth_request(&message.payload) {
        Ok((found, data)) if message.tag == b'R' && found == kind => Ok(data.to_vec()),
        _ => Err(unexpected("the next step of SCRAM")),
    }
}

fn unexpected(what: &str) -> WireError {
    WireError::Protocol(format!("in the greeting the server did not send {what}"))
}

fn terminated(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0]].concat()
}
