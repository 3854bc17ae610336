//! PostgreSQL of another version in place of the stack's, for the tests of the reader:
//! `CDC_BENCH_TEST_POSTGRES_BIN=/usr/lib/postgresql/15/bin cargo test --test on_a_stack -- reader_`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::processes::{id, signal};
use super::{open_folder, until};

/// Variable with the folder of its programs.
const BIN: &str = "CDC_BENCH_TEST_POSTGRES_BIN";
const PASSWORD: &str = "other";

/// A server of the tests' own, stopped when it is dropped.
pub struct OtherPostgres {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    variables: Vec<(String, String)>,
    process: Mutex<Child>,
}

impl OtherPostgres {
    /// Starts one if it is asked for, and says so in the environment that commands get. It has the variables that the
    /// stack's arguments (`--server-env`) give the stack's.
    pub fn if_asked(env: &mut BTreeMap<String, String>, stack_args: &[&str]) -> Option<Self> {
        let bin = PathBuf::from(std::env::var_os(BIN)?);
        let variables = stack_args
            .iter()
            .filter_map(|arg| arg.strip_prefix("postgres:"));
        let variables = variables.filter_map(|variable| variable.split_once('='));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables: Vec<_> = variables.collect();
        let folder = open_folder();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        if nix::unistd::geteuid().is_root() {
            nix::unistd::chown(&data, Some(nobody.uid), Some(nobody.gid)).unwrap();
        }
        let made = never_root(&mut Command::new(bin.join("initdb")))
            .args([
                "-U",
                "postgres",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "{}", bin.display());
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let process = Mutex::new(start(&bin, &folder, port, &variables));
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        env.extend([
            of("POSTGRES_HOST", "127.0.0.1"),
            of("POSTGRES_PORT", &port.to_string()),
            of("POSTGRES_USER", "postgres"),
            of("POSTGRES_PASSWORD", PASSWORD),
            of("POSTGRES_DB", "postgres"),
        ]);
        until("the other PostgreSQL", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Self {
            bin,
            folder,
            port,
            variables,
            process,
        })
    }

    /// Ends it by a signal, and starts it again.
    pub fn end(&self, how: Signal) {
        let mut process = self.process.lock().unwrap();
        signal(id(&process), how);
        process.wait().unwrap();
        *process = start(&self.bin, &self.folder, self.port, &self.variables);
    }

    pub fn pid(&self) -> i32 {
        id(&self.process.lock().unwrap())
    }
}

impl Drop for OtherPostgres {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap();
        signal(id(&process), Signal::SIGQUIT);
        let _ = process.wait();
    }
}

fn start(
    bin: &std::path::Path,
    folder: &TempDir,
    port: u16,
    variables: &[(String, String)],
) -> Child {
    let mut command = Command::new(bin.join("postgres"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.arg("-D").arg(folder.path().join("data"));
    for setting in [
        "listen_addresses=127.0.0.1",
        &format!("port={port}"),
        "unix_socket_directories=",
        "wal_level=logical",
        "max_replication_slots=20",
        "max_wal_senders=20",
    ] {
        command.args(["-c", setting]);
    }
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("log"))
        .unwrap();
    never_root(&mut command).stderr(log).spawn().unwrap()
}

/// PostgreSQL refuses root.
fn never_root(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    if nix::unistd::geteuid().is_root() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
    }
    command
}
