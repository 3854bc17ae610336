//! A standby of the stack's PostgreSQL, made by a test: a copy of its files, and what replication needs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use pgcdc::Server;
use tempfile::TempDir;

use super::reader::server_at;
use super::stack::processes::{id, signal};
use super::stack::{TestStack, free_port, open_folder, until};

/// The physical slot by which the standby follows.
const SLOT: &str = "test_standby";

/// A running standby; stopped when it is dropped.
pub struct Standby<'a> {
    stack: &'a TestStack,
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl<'a> Standby<'a> {
    pub fn start(stack: &'a TestStack) -> Self {
        let folder = open_folder();
        let data = folder.path().join("data");
        let primary = PathBuf::from(&stack.sql("SHOW data_directory")[0]);
        stack.sql(&format!(
            "SELECT pg_create_physical_replication_slot('{SLOT}', true)"
        ));
        stack.block_on(async {
            let client = stack.connect().await;
            let begin = "SELECT pg_backup_start('standby', fast => true)";
            client.simple_query(begin).await.unwrap();
            copy(&primary, &data);
            let row = client.query_one("SELECT labelfile FROM pg_backup_stop()", &[]);
            let label: String = row.await.unwrap().get(0);
            fs::write(data.join("backup_label"), label).unwrap();
        });
        let port = free_port();
        let settings = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user={} password={} dbname={}'\nprimary_slot_name = '{SLOT}'\n\
             hot_standby_feedback = on\nsync_replication_slots = on\nwal_receiver_status_interval = 1\n",
            stack.env["POSTGRES_PORT"],
            stack.env["POSTGRES_USER"],
            stack.env["POSTGRES_PASSWORD"],
            stack.env["POSTGRES_DB"],
        );
        fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
        fs::write(data.join("standby.signal"), "").unwrap();
        let owner = fs::metadata(&primary).unwrap();
        hand_over(&data, &owner);
        let pid = stack.pid("postgres");
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        let mut command = Command::new(program);
        command
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let port_setting = format!("port={port}");
        for setting in [
            "listen_addresses=127.0.0.1",
            &port_setting,
            "unix_socket_directories=",
            "wal_level=logical",
            "max_replication_slots=20",
            "max_wal_senders=20",
            "max_connections=100",
        ] {
            command.args(["-c", setting]);
        }
        if nix::unistd::geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let standby = Self {
            stack,
            process: command.spawn().unwrap(),
            port,
            _folder: folder,
        };
        until("the standby to answer", || {
            standby.try_sql("SELECT 1").is_some()
        });
        standby
    }

    pub fn server(&self) -> Server {
        server_at(self.stack, self.port)
    }

    /// Runs SQL there; the first column of every row.
    pub fn sql(&self, text: &str) -> Vec<String> {
        self.try_sql(text).unwrap()
    }

    fn try_sql(&self, text: &str) -> Option<Vec<String>> {
        self.stack.block_on(async {
            let of = self.server();
            let mut config = tokio_postgres::Config::new();
            config
                .user(&of.user)
                .dbname(&of.database)
                .password(&self.stack.env["POSTGRES_PASSWORD"]);
            let socket = of.socket().await.ok()?;
            let connected = config.connect_raw(socket, tokio_postgres::NoTls).await;
            let (client, connection) = connected.ok()?;
            tokio::spawn(connection);
            let rows = client.simple_query(text).await.ok()?;
            let first = |message: &tokio_postgres::SimpleQueryMessage| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some(row.get(0).unwrap_or_default().to_owned())
                }
                _ => None,
            };
            Some(rows.iter().filter_map(first).collect())
        })
    }

    /// Waits until it has replayed what the primary has written so far.
    pub fn catch_up(&self) {
        let end = self.stack.sql("SELECT pg_current_wal_lsn()").remove(0);
        until("the standby to catch up", || {
            self.sql(&format!("SELECT pg_last_wal_replay_lsn() >= '{end}'")) == ["t"]
        });
    }

    /// Makes it a primary of its own.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote()"), ["t"]);
    }
}

impl Drop for Standby<'_> {
    fn drop(&mut self) {
        signal(id(&self.process), Signal::SIGQUIT);
        let _ = self.process.wait();
        if !std::thread::panicking() {
            until("the standby's slot to be free", || {
                let drop = format!(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{SLOT}' AND NOT active"
                );
                self.stack.sql(&drop);
                let left = format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{SLOT}'");
                self.stack.sql(&left).is_empty()
            });
        }
    }
}

/// Copies a running server's files as a backup does: without its slots, and what is of its processes alone.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if ["postmaster.pid", "postmaster.opts"]
            .iter()
            .any(|skipped| name == **skipped)
        {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            if name == "pg_replslot" {
                fs::create_dir(&target).unwrap();
            } else {
                copy(&entry.path(), &target);
            }
        } else if let Err(error) = fs::copy(entry.path(), &target) {
            // A file may be removed while it is copied: recovery does not need it.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

fn hand_over(path: &Path, owner: &fs::Metadata) {
    if nix::unistd::geteuid().is_root() {
        chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(path).unwrap() {
            hand_over(&entry.unwrap().path(), owner);
        }
    }
}
