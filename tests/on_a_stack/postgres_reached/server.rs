//! A PostgreSQL of the test's own, with TLS, a socket, and roles that are let in each in another way.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use rcgen::SanType;
use tempfile::TempDir;

use crate::pki::{authority, certificate, issue};
use crate::stack::command::{Ended, cdc_bench, ended, with};
use crate::stack::processes::{id, signal};
use crate::stack::{free_port, open_folder, until};

/// Holds every sign that some quoting gives a meaning.
pub const PASSWORD: &str = r#"p@ss:w/rd#1 %41"'\"#;
/// The same, percent-encoded.
pub const ENCODED: &str = "p%40ss%3Aw%2Frd%231%20%2541%22%27%5C";
/// What a command reads of the database: the rows since the last one.
pub const CAPTURE: [&str; 7] = [
    "capture",
    "--publication",
    "p",
    "--slot",
    "reach",
    "--until",
    "now",
];
/// A server of the test's own, with TLS and a socket, stopped when it is dropped.
pub struct Secured {
    pub folder: TempDir,
    pub port: u16,
    process: Child,
    /// The operating system's user, who is let in by the socket as himself.
    pub me: String,
}

impl Secured {
    pub fn start(bin: &Path) -> Self {
        let folder = open_folder();
        let at = |name: &str| folder.path().join(name);
        let owner = User::from_name("nobody").unwrap().unwrap();
        for name in ["data", "socket"] {
            std::fs::create_dir(at(name)).unwrap();
            if geteuid().is_root() {
                nix::unistd::chown(&at(name), Some(owner.uid), Some(owner.gid)).unwrap();
            }
        }
        let made = never_root(&mut Command::new(bin.join("initdb")))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(at("data"))
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "{}", bin.display());
        let authority = authority("ours");
        std::fs::write(at("ca.pem"), authority.pem()).unwrap();
        let names = ["localhost".to_owned()].map(|name| SanType::DnsName(name.try_into().unwrap()));
        issue(
            folder.path(),
            &authority,
            "server",
            &certificate("postgres", &names),
        );
        issue(
            folder.path(),
            &authority,
            "mutual",
            &certificate("mutual", &[]),
        );
        let me = User::from_uid(geteuid()).unwrap().unwrap().name;
        let hba = format!(
            "local all {me} peer\nlocal all postgres,trusted trust\nlocal all all scram-sha-256\n\
             hostssl all mutual all scram-sha-256 clientcert=verify-full\nhostssl all alice all scram-sha-256\n\
             hostssl all rds,bare all scram-sha-256\nhostnossl all unencrypted all scram-sha-256\nhost all trusted 127.0.0.1/32 trust\n\
             host all cleartext all password\n"
        );
        std::fs::write(at("hba"), hba).unwrap();
        for (name, mode) in [("server.key", 0o600), ("hba", 0o644), ("ca.pem", 0o644)] {
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
            if geteuid().is_root() {
                chown(at(name), Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).unwrap();
            }
        }
        let port = free_port();
        let listen_addresses = if has_ipv6() {
            "listen_addresses=localhost,::1"
        } else {
            "listen_addresses=localhost"
        };
        let mut command = Command::new(bin.join("postgres"));
        let setting = |name: &str, file: &str| format!("{name}={}", at(file).display());
        for setting in [
            listen_addresses.to_owned(),
            format!("port={port}"),
            setting("unix_socket_directories", "socket"),
            setting("hba_file", "hba"),
            "ssl=on".to_owned(),
            setting("ssl_ca_file", "ca.pem"),
            setting("ssl_cert_file", "server.pem"),
            setting("ssl_key_file", "server.key"),
            "wal_level=logical".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        let log = std::fs::File::create(at("log")).unwrap();
        let process = never_root(command.arg("-D").arg(at("data")))
            .stderr(log)
            .spawn();
        let server = Self {
            port,
            process: process.unwrap(),
            me,
            folder,
        };
        let socket = server.file("socket").join(format!(".s.PGSQL.{port}"));
        until("the secured PostgreSQL", || {
            socket.exists() && server.try_sql("SELECT 1").is_ok()
        });
        server.make_roles();
        server
    }

    fn make_roles(&self) {
        let password = PASSWORD.replace('\'', "''");
        for role in ["alice", "mutual", "cleartext", "unencrypted"] {
            self.sql(&format!(
                "CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{password}'"
            ));
        }
        for role in [&*self.me, "trusted"] {
            self.sql(&format!("CREATE ROLE \"{role}\" LOGIN SUPERUSER"));
        }
        self.sql("CREATE ROLE rds_replication");
        for role in ["rds", "bare"] {
            self.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"));
            self.sql(&format!("GRANT CREATE ON DATABASE postgres TO {role}"));
        }
        self.sql("GRANT rds_replication TO rds");
        self.sql("CREATE TABLE t (id bigint PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
        self.sql("SELECT pg_create_logical_replication_slot('reach', 'pgoutput')");
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// Writes a file that only its owner may read.
    pub fn private(&self, name: &str, text: &str) -> String {
        std::fs::write(self.file(name), text).unwrap();
        std::fs::set_permissions(self.file(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        self.path(name)
    }

    /// Runs SQL as the superuser, by the socket; the first column of every row.
    pub fn sql(&self, text: &str) -> Vec<String> {
        self.try_sql(text).unwrap()
    }

    fn try_sql(&self, text: &str) -> Result<Vec<String>, String> {
        let server = pgcdc::Server::new(
            self.path("socket"),
            self.port,
            "postgres",
            String::new(),
            "postgres",
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let connected = server.client(&tokio_postgres::Config::new()).await;
            let (client, connection) = connected.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            let rows = client.simple_query(text).await;
            let rows = rows.map_err(|error| format!("{text}: {error:?}"))?;
            let first = |message: &tokio_postgres::SimpleQueryMessage| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0)?.to_owned()),
                _ => None,
            };
            Ok(rows.iter().filter_map(first).collect())
        })
    }

    /// A command with these variables, in the test's folder and without a home.
    pub fn run(&self, variables: &[(&str, &str)], args: &[&str]) -> Ended {
        let mut command = with(cdc_bench(), args);
        command
            .current_dir(self.folder.path())
            .env("HOME", self.path("home"));
        command.stdin(Stdio::null());
        ended(with_variables(command, variables))
    }

    /// Captures a row.
    #[track_caller]
    pub fn goes(&self, variables: &[(&str, &str)], more: &[&str]) {
        self.sql("INSERT INTO t SELECT coalesce(max(id), 0) + 1 FROM t");
        let last = self.sql("SELECT max(id) FROM t").remove(0);
        let captured = self.run(variables, &[&CAPTURE, more].concat());
        assert_eq!(captured.code, 0, "{variables:?} {more:?}: {}", captured.err);
        let row = format!("\"after\":{{\"id\":{last}}}");
        assert!(
            captured.out.contains(&row),
            "{variables:?}: {}",
            captured.out
        );
        assert!(!format!("{}{}", captured.out, captured.err).contains(PASSWORD));
    }

    /// Is refused; the message holds these words, and not the password.
    #[track_caller]
    pub fn refused(&self, variables: &[(&str, &str)], more: &[&str], code: i32, says: &[&str]) {
        let answer = self.run(variables, &[&CAPTURE, more].concat());
        answer.refused(code, says);
        assert!(
            !answer.err.contains(PASSWORD) && !answer.err.contains(ENCODED),
            "{}",
            answer.err
        );
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        signal(id(&self.process), Signal::SIGQUIT);
        let _ = self.process.wait();
    }
}

pub fn with_variables(mut command: Command, variables: &[(&str, &str)]) -> Command {
    command.envs(variables.iter().copied());
    command
}

/// PostgreSQL refuses root.
pub fn never_root(command: &mut Command) -> &mut Command {
    if geteuid().is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
    }
    command
}

pub fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}
