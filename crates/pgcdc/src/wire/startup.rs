//! The greeting of a session, and the proof of who we are.

use pgwire_replication::protocol::framing::{
    BackendMessage, read_backend_message, write_password_message, write_startup_message,
};
use pgwire_replication::protocol::parse_auth_request;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use secrecy::ExposeSecret;

use super::{ServerMessage, Socket, WireError};
use crate::Server;
use crate::server::{SESSION_OPTIONS, UNLIMITED_OPTIONS};

/// Version 3.0 of the protocol.
const PROTOCOL: i32 = 196_608;

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
    let unlimited = format!("{SESSION_OPTIONS} {UNLIMITED_OPTIONS}");
    let mut parameters = vec![
        ("user", &*server.user),
        ("database", &*server.database),
        ("client_encoding", "UTF8"),
        ("application_name", kind.application_name),
    ];
    if kind.is_replication {
        parameters.extend([("replication", "database"), ("options", SESSION_OPTIONS)]);
    } else {
        parameters.push(("options", &*unlimited));
    }
    write_startup_message(socket, PROTOCOL, &parameters).await?;
    let mut pid = None;
    loop {
        let message = read(socket).await?;
        match message.tag {
            b'R' => authenticate(socket, &message.payload, server).await?,
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

async fn authenticate(
    socket: &mut Socket,
    request: &[u8],
    server: &Server,
) -> Result<(), WireError> {
    let (kind, data) = parse_auth_request(request)?;
    let password = server.password.expose_secret().as_bytes();
    match kind {
        // Done.
        0 => Ok(()),
        3 => Ok(write_password_message(socket, &terminated(password)).await?),
        5 => {
            let salt = data.first_chunk().ok_or_else(|| unexpected("a salt"))?;
            let hash = md5_hash(server.user.as_bytes(), password, *salt);
            Ok(write_password_message(socket, &terminated(hash.as_bytes())).await?)
        }
        10 => scram(socket, data, password).await,
        kind => Err(WireError::Auth(format!(
            "the server asks for a kind of authentication ({kind}) other than a password, SCRAM-SHA-256 or MD5"
        ))),
    }
}

async fn scram(socket: &mut Socket, offered: &[u8], password: &[u8]) -> Result<(), WireError> {
    let refused = |error: std::io::Error| WireError::Auth(error.to_string());
    let mut mechanisms = offered.split(|byte| *byte == 0);
    if !mechanisms.any(|name| name == SCRAM_SHA_256.as_bytes()) {
        return Err(unexpected("SCRAM-SHA-256 among its mechanisms"));
    }
    let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
    let mut first = terminated(SCRAM_SHA_256.as_bytes());
    let message = scram.message();
    let length = i32::try_from(message.len()).map_err(|_| unexpected("a short message"))?;
    first.extend_from_slice(&length.to_be_bytes());
    first.extend_from_slice(message);
    write_password_message(socket, &first).await?;
    let answer = continued(socket, 11).await?;
    scram.update(&answer).map_err(refused)?;
    write_password_message(socket, scram.message()).await?;
    let answer = continued(socket, 12).await?;
    scram.finish(&answer).map_err(refused)
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
