//! The servers that parameters name, in the order in which they are tried.

use std::net::IpAddr;
use std::path::Path;

use secrecy::SecretString;

use super::values::invalid;
use super::{ConnectionParameters, ConnectionWarning, InvalidServer, password_file};
use crate::Server;
use crate::server::target::SessionTarget;

const PORT: u16 = 5432;

/// Servers to try in turn, and the kind of session that is wanted.
#[derive(Debug, Clone)]
pub struct ServerList {
    /// The servers; at least one.
    pub servers: Vec<Server>,
    /// `target_session_attrs`.
    pub target: SessionTarget,
    /// What was given and has no effect.
    pub warnings: Vec<ConnectionWarning>,
}

impl ConnectionParameters {
    /// The servers, each with its password: the one given, or that of the password file. The port is 5432 and the database is
    /// named as the user where they are left out; `sslmode` is `prefer`.
    ///
    /// # Errors
    /// When no host or no user is named, or a value is not valid.
    pub fn servers(&self) -> Result<ServerList, InvalidServer> {
        let user = self.get("user").ok_or(InvalidServer::NoUser)?;
        let database = self.get("dbname").unwrap_or(user);
        let (tls, network) = (self.tls()?, self.network()?);
        let target = match self.get("target_session_attrs") {
            None => SessionTarget::Any,
            Some(word) => SessionTarget::parse(word)
                .ok_or_else(|| invalid("target_session_attrs", word, SessionTarget::NAMES))?,
        };
        let name = ["application_name", "fallback_application_name"];
        let name = name.iter().find_map(|keyword| self.get(keyword));
        let mut list = ServerList {
            servers: Vec::new(),
            target,
            warnings: self.without_effect().collect(),
        };
        for (host, hostaddr, port) in self.addresses()? {
            let mut server = Server {
                tls: tls.clone(),
                network: network.clone(),
                hostaddr,
                application_name: name.map(str::to_owned),
                options: self.get("options").map(str::to_owned),
                ..Server::new(host, port, user, String::new(), database)
            };
            server.password = match (self.get("password"), self.get("passfile")) {
                (Some(password), _) => Some(password.into()),
                (None, None) => None,
                (None, Some(path)) => password_file::find(Path::new(path), &server)
                    .unwrap_or_else(|warning| {
                        if !list.warnings.contains(&warning) {
                            list.warnings.push(warning);
                        }
                        None
                    })
                    .map(SecretString::from),
            };
            list.servers.push(server);
        }
        Ok(list)
    }

    /// Host, address and port of each server.
    fn addresses(&self) -> Result<Vec<(String, Option<IpAddr>, u16)>, InvalidServer> {
        let list = |keyword| {
            let text = self.get(keyword).unwrap_or_default();
            text.split(',').map(str::trim).collect::<Vec<_>>()
        };
        let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
        let has = |keyword| self.get(keyword).is_some();
        let count = match (has("host"), has("hostaddr")) {
            (false, false) => return Err(InvalidServer::NoHost),
            (false, true) => addresses.len(),
            (true, _) => hosts.len(),
        };
        let uneven = |parameter, others| InvalidServer::Uneven {
            hosts: count,
            parameter,
            others,
        };
        if has("hostaddr") && addresses.len() != count {
            return Err(uneven("hostaddr", addresses.len()));
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(uneven("port", ports.len()));
        }
        let address = |index: usize| {
            let text = addresses.get(index).copied().unwrap_or_default();
            let parsed = (!text.is_empty()).then(|| text.parse::<IpAddr>());
            parsed
                .transpose()
                .map_err(|_| invalid("hostaddr", text, "the IP addresses"))
        };
        let port = |index: usize| {
            let one = ports.first().filter(|_| ports.len() == 1);
            match one.or(ports.get(index)).copied().unwrap_or_default() {
                "" => Ok(PORT),
                text => text
                    .parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| invalid("port", text, "the numbers from 1 to 65535")),
            }
        };
        let one = |index: usize| {
            let address = address(index)?;
            let host = match (hosts.get(index).copied().unwrap_or_default(), address) {
                ("", Some(address)) => address.to_string(),
                ("", None) => "localhost".to_owned(),
                (host, _) => host.to_owned(),
            };
            Ok((host, address, port(index)?))
        };
        (0..count).map(one).collect()
    }
}
