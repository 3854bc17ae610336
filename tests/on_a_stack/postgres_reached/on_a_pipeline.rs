//! What needs the rest of a pipeline beside PostgreSQL: "doctor", and the main job with Debezium.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::server::{ENCODED, PASSWORD, Secured, never_root, with_variables};
use crate::stack::command::{assert_complete, ended, small_run, with};
use crate::stack::processes::{id, signal};
use crate::stack::{TestStack, everything, free_port, open_folder, until};
/// A pooler is named.
pub fn pooler(stack: &TestStack, server: &Secured) {
    let program = Path::new("/usr/sbin/pgbouncer");
    if !program.exists() {
        eprintln!("PgBouncer is not installed (apt-get install pgbouncer): not tried");
        return;
    }
    let port = free_port();
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\n\
         auth_type=trust\nauth_file={}\npool_mode=transaction\n",
        server.port,
        server.path("users"),
    );
    std::fs::write(server.file("users"), "\"trusted\" \"\"\n").unwrap();
    std::fs::write(server.file("pgbouncer.ini"), settings).unwrap();
    let mut command = Command::new(program);
    let log = std::fs::File::create(server.file("pgbouncer.log")).unwrap();
    let mut process = never_root(command.arg(server.file("pgbouncer.ini")))
        .stderr(log)
        .spawn()
        .unwrap();
    until("PgBouncer", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let port = port.to_string();
    let by_pooler = [
        ("POSTGRES_HOST", "127.0.0.1"),
        ("POSTGRES_PORT", &*port),
        ("POSTGRES_USER", "trusted"),
        ("POSTGRES_DB", "postgres"),
    ];
    server.refused(&by_pooler, &[], 3, &["PgBouncer", "PostgreSQL itself"]);
    // The command's own session passes, so the pooler is recognised by the session for replication.
    let doctor = with(stack.external(), &["doctor"]);
    let doctor = ended(with_variables(doctor, &by_pooler));
    assert_eq!(doctor.code, 3, "{}", doctor.out);
    assert!(doctor.out.contains("PgBouncer"), "{}", doctor.out);
    // It cannot hold a lock for a run: nobody could tell whether the run lives.
    let results = open_folder();
    let run = small_run(stack.external(), results.path(), &["--events", "5"]);
    let run = ended(with_variables(run, &by_pooler));
    run.refused(3, &["a pooler shares its sessions", "cleanup --run"]);
    signal(id(&process), Signal::SIGKILL);
    let _ = process.wait();
}

/// Roles that may not replicate, a member of RDS' role on a server that does not heed it among them. "doctor" says which, with the
/// statement that grants it.
pub fn rights(stack: &TestStack, server: &Secured) {
    let port = server.port.to_string();
    let doctor = |user: &str| {
        let command = with(stack.external(), &["doctor"]);
        let of = [
            ("POSTGRES_HOST", "localhost"),
            ("POSTGRES_PORT", &*port),
            ("POSTGRES_USER", user),
            ("POSTGRES_PASSWORD", PASSWORD),
            ("POSTGRES_DB", "postgres"),
            ("PGSSLMODE", "require"),
        ];
        ended(with_variables(command, &of))
    };
    let rds = doctor("rds");
    assert_eq!(rds.code, 3, "{}", rds.out);
    for words in ["rds.logical_replication", "ALTER ROLE \"rds\" REPLICATION"] {
        assert!(rds.out.contains(words), "{}", rds.out);
    }
    let bare = doctor("bare");
    assert_eq!(bare.code, 3, "{}", bare.out);
    assert!(
        bare.out.contains("GRANT rds_replication TO \"bare\""),
        "{}",
        bare.out
    );
    // As on any other server: no such role.
    server.sql("REVOKE rds_replication FROM rds; DROP ROLE rds_replication");
    let bare = doctor("bare");
    assert!(
        bare.out.contains("ALTER ROLE \"bare\" REPLICATION"),
        "{}",
        bare.out
    );
    server.sql("ALTER ROLE bare REPLICATION");
    let bare = doctor("bare");
    assert!(bare.out.contains("rights suffice"), "{}", bare.out);
}

/// The main job over a client certificate and a password, Debezium's connection included.
pub fn main_job(stack: &TestStack, server: &Secured) {
    let (certificate, key) = (server.path("mutual.pem"), server.path("mutual.key"));
    let der = server.path("mutual.pk8");
    let converted = Command::new("openssl")
        .args([
            "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", &key, "-out", &der,
        ])
        .status();
    assert!(converted.unwrap().success());
    let port = server.port;
    let uri = format!(
        "postgresql://mutual:{ENCODED}@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={}&sslcert={certificate}&sslkey={key}",
        server.path("ca.pem"),
    );
    let mut command = stack.external();
    for name in stack.env.keys() {
        if name.starts_with("POSTGRES_") {
            command.env_remove(name);
        }
    }
    command.env("POSTGRES_URL", &uri);
    let results = open_folder();
    let key_setting = format!("database.sslkey={der}");
    let run = small_run(
        command,
        results.path(),
        &["--events", "200", "--connector-config", &key_setting],
    );
    let run = ended(run);
    assert_eq!(run.code, 0, "{}", run.err);
    let report = run.json();
    assert_complete(&report, 200);
    let written = everything(results.path());
    assert!(!written.contains(PASSWORD) && !written.contains(ENCODED));
}

/// A run by the socket. Debezium cannot take it, and is told where else PostgreSQL is.
pub fn run_by_socket(stack: &TestStack, server: &Secured) {
    let (socket, port) = (server.path("socket"), server.port.to_string());
    let by_socket = [
        ("POSTGRES_HOST", &*socket),
        ("POSTGRES_PORT", &*port),
        ("POSTGRES_USER", "alice"),
        ("POSTGRES_PASSWORD", PASSWORD),
        ("POSTGRES_DB", "postgres"),
    ];
    let results = open_folder();
    let run = |more: &[&str]| {
        let command = with_variables(stack.external(), &by_socket);
        let args = [&["--events", "50"], more].concat();
        ended(small_run(command, results.path(), &args))
    };
    run(&[]).refused(2, &["TCP alone", "database.hostname=HOST"]);
    let run = run(&["--connector-config", "database.hostname=localhost"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_complete(&run.json(), 50);
}
