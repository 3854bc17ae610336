//! PostgreSQL as libpq reaches it: every way to give a password, client certificates, sockets without a password, several
//! hosts, a pooler, and roles that may replicate by a provider's rule. On the stack's version, and on Debian's where that is
//! installed.

mod on_a_pipeline;
pub mod server;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use self::on_a_pipeline::{main_job, pooler, rights, run_by_socket};
use self::server::{CAPTURE, ENCODED, PASSWORD, Secured, has_ipv6};
use super::Test;
use super::stack::command::{cdc_bench, with};
use super::stack::{TestStack, free_port, until};
use super::standby::Standby;
use super::watching::{on_a_terminal, screen_of, times};

pub const LONG_TESTS: &[Test] = &[(
    "postgres_is_reached_as_libpq_does_and_a_refusal_says_what_to_do",
    reached,
)];

/// The same between libpq's single quotes.
const QUOTED: &str = r#"'p@ss:w/rd#1 %41"\'\\'"#;
/// Programs of Debian's PostgreSQL.
const DEBIAN: &str = "/usr/lib/postgresql/15/bin";

fn reached(stack: &TestStack) {
    let program = format!("/proc/{}/exe", stack.pid("postgres"));
    let program = std::fs::read_link(program).unwrap();
    let server = Secured::start(program.parent().unwrap());
    passwords(&server);
    prompt(&server);
    encryption(&server);
    sockets(&server);
    hosts(stack, &server);
    pooler(stack, &server);
    rights(stack, &server);
    main_job(stack, &server);
    run_by_socket(stack, &server);
    drop(server);
    if Path::new(DEBIAN).join("postgres").exists() {
        let server = Secured::start(DEBIAN.as_ref());
        passwords(&server);
        encryption(&server);
        sockets(&server);
    } else {
        eprintln!("Debian's PostgreSQL 15 is not installed ({DEBIAN}): not tried");
    }
}

/// The password by each way in which it can be given.
fn passwords(server: &Secured) {
    let port = server.port.to_string();
    let plain = [
        ("POSTGRES_HOST", "localhost"),
        ("POSTGRES_PORT", &port),
        ("POSTGRES_USER", "alice"),
        ("POSTGRES_DB", "postgres"),
        ("PGSSLMODE", "require"),
    ];
    let and = |more: &[(&'static str, &str)]| {
        let all = plain.iter().chain(more);
        all.map(|(name, value)| (*name, (*value).to_owned()))
            .collect::<Vec<_>>()
    };
    let goes = |more: &[(&'static str, &str)]| {
        let all = and(more);
        let all: Vec<_> = all.iter().map(|(name, value)| (*name, &**value)).collect();
        server.goes(&all, &[]);
    };
    // What a compose file leaves empty is not set.
    let empty =
        ["POSTGRES_URL", "BATCH_SIZE", "CONNECT_SSL_CA", "LOG_LEVEL"].map(|name| (name, ""));
    goes(&[&[("POSTGRES_PASSWORD", PASSWORD)][..], &empty].concat());
    goes(&[(
        "POSTGRES_PASSWORD_FILE",
        &server.private("secret", &format!("{PASSWORD}\n")),
    )]);
    goes(&[("PGPASSWORD", PASSWORD)]);
    let escaped = PASSWORD.replace('\\', r"\\").replace(':', r"\:");
    let line = format!("localhost:*:postgres:alice:{escaped}\n");
    goes(&[("PGPASSFILE", &server.private("pass", &line))]);
    std::fs::create_dir_all(server.file("home")).unwrap();
    server.private("home/.pgpass", &line);
    goes(&[]);
    std::fs::set_permissions(
        server.file("home/.pgpass"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    server.refused(
        &plain,
        &[],
        3,
        &["chmod 600", "asks for a password", "POSTGRES_PASSWORD"],
    );
    std::fs::remove_file(server.file("home/.pgpass")).unwrap();
    // Of .env, in its own quoting.
    let quoted = PASSWORD.replace('\\', r"\\").replace('"', "\\\"");
    server.private(".env", &format!("POSTGRES_PASSWORD=\"{quoted}\"\n"));
    goes(&[]);
    std::fs::remove_file(server.file(".env")).unwrap();

    let uri = format!("postgresql://alice:{ENCODED}@localhost:{port}/postgres");
    server.goes(&[("POSTGRES_URL", &uri)], &[]);
    let pairs = format!("host=localhost port={port} dbname=postgres user=alice password={QUOTED}");
    server.goes(&[("POSTGRES_URL", &pairs)], &[]);
    let shown = format!("postgresql://alice@localhost:{port}/postgres");
    server.goes(&[("POSTGRES_PASSWORD", PASSWORD)], &["--postgres", &shown]);
    server.refused(
        &[],
        &["--postgres", &uri],
        2,
        &["POSTGRES_PASSWORD_FILE", "--postgres"],
    );
    let service = format!(
        "[shop]\nhost=localhost\nport={port}\nuser=alice\npassword={PASSWORD}\ndbname=postgres\n"
    );
    let service = server.private("services", &service);
    let of_service = [("PGSERVICEFILE", &*service), ("PGSERVICE", "shop")];
    server.goes(&of_service, &["--stack", "external"]);
    server.goes(&of_service[..1], &["--postgres", "service=shop"]);
    let of_libpq = [
        ("PGHOST", "localhost"),
        ("PGPORT", &*port),
        ("PGUSER", "alice"),
        ("PGDATABASE", "postgres"),
        ("PGPASSWORD", PASSWORD),
    ];
    server.goes(&of_libpq, &["--stack", "external"]);
    // Without being asked for it, a shell's PGHOST is nobody's server.
    let state = server.path("state");
    let alone = [&of_libpq[..], &[("CDC_BENCH_STATE_DIR", &*state)]].concat();
    let refused = server.run(&alone, &CAPTURE);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("stack"), "{}", refused.err);
    // None at all: what asks for it, and where it may be set.
    server.refused(
        &plain,
        &[],
        3,
        &["asks for a password", "POSTGRES_PASSWORD"],
    );
    let url = format!("host=localhost port={port} user=alice dbname=postgres sslmod=require");
    server.refused(&[("POSTGRES_URL", &url)], &[], 2, &["\"sslmode\""]);
}

/// A terminal is asked for the password, and does not show it.
fn prompt(server: &Secured) {
    let mut command = with(cdc_bench(), &CAPTURE);
    command
        .current_dir(server.folder.path())
        .env("HOME", server.path("home"))
        .env("POSTGRES_HOST", "localhost")
        .env("POSTGRES_PORT", server.port.to_string())
        .env("POSTGRES_USER", "alice")
        .env("POSTGRES_DB", "postgres")
        .env("PGSSLMODE", "require");
    let (mut process, mut terminal, slave) = on_a_terminal(command);
    let screen = screen_of(terminal.try_clone().unwrap());
    until("the prompt", || {
        times(&screen, "Password for alice@localhost") == 1
    });
    writeln!(terminal, "{PASSWORD}").unwrap();
    let ended = process.wait().unwrap();
    drop(slave);
    let shown = String::from_utf8_lossy(&screen.lock().unwrap()).into_owned();
    assert!(ended.success(), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}

/// Client certificates, authorities, channel binding, and lines for encrypted connections alone.
fn encryption(server: &Secured) {
    let port = server.port.to_string();
    let of = |host: &str, user: &str, more: &str| {
        format!("host={host} port={port} user={user} dbname=postgres password={QUOTED} {more}")
    };
    let goes = |text: &str| server.goes(&[("POSTGRES_URL", text)], &[]);
    let refused = |text: &str, code: i32, says: &[&str]| {
        server.refused(&[("POSTGRES_URL", text)], &[], code, says);
    };
    let (ca, certificate, key) = (
        server.path("ca.pem"),
        server.path("mutual.pem"),
        server.path("mutual.key"),
    );
    let files = format!("sslrootcert={ca} sslcert={certificate} sslkey={key}");
    goes(&of(
        "localhost",
        "mutual",
        &format!("sslmode=verify-full {files}"),
    ));
    goes(&of(
        "localhost",
        "mutual",
        &format!("sslmode=verify-ca {files}"),
    ));
    refused(
        &of("localhost", "mutual", "sslmode=require"),
        3,
        &["certificate"],
    );
    // The authority is known and the name is another's.
    goes(&of(
        "127.0.0.1",
        "alice",
        &format!("sslmode=verify-ca sslrootcert={ca}"),
    ));
    refused(
        &of(
            "127.0.0.1",
            "alice",
            &format!("sslmode=verify-full sslrootcert={ca}"),
        ),
        3,
        &["not for the name 127.0.0.1", "PGSSLMODE=verify-ca"],
    );
    goes(&of(
        "localhost",
        "alice",
        &format!("hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}"),
    ));
    refused(
        &of("localhost", "alice", "sslrootcert=system"),
        3,
        &["UnknownIssuer", "PGSSLROOTCERT"],
    );
    refused(
        &of(
            "localhost",
            "alice",
            "sslmode=verify-ca sslrootcert=/nowhere",
        ),
        3,
        &["/nowhere cannot be read", "PGSSLROOTCERT"],
    );
    // A host alone is without TLS, unless authorities are given.
    server.refused(
        &[
            ("POSTGRES_HOST", "localhost"),
            ("POSTGRES_PORT", &port),
            ("POSTGRES_USER", "alice"),
            ("POSTGRES_DB", "postgres"),
            ("POSTGRES_PASSWORD", PASSWORD),
            ("PGSSLMODE", ""),
            ("PGSSLROOTCERT", "system"),
        ],
        &[],
        3,
        &["UnknownIssuer"],
    );
    // Only unencrypted connections are let in: it is their password that is wrong, or lacks.
    goes(&of("localhost", "unencrypted", "sslmode=prefer"));
    for (password, says) in [
        ("password=wrong", "password authentication failed"),
        ("", "asks for a password"),
    ] {
        let text = format!(
            "host=localhost port={port} user=unencrypted dbname=postgres sslmode=prefer {password}"
        );
        refused(&text, 3, &[says, "POSTGRES_PASSWORD"]);
    }
    for mode in ["allow", "prefer", "require"] {
        goes(&of("localhost", "alice", &format!("sslmode={mode}")));
    }
    refused(
        &of("localhost", "alice", "sslmode=disable"),
        3,
        &["no encryption", "PGSSLMODE=require"],
    );
    goes(&of("localhost", "alice", "channel_binding=require"));
    goes(&of("localhost", "alice", "channel_binding=disable"));
    refused(
        &of("localhost", "cleartext", "channel_binding=require"),
        3,
        &["channel binding"],
    );
    let socket = server.path("socket");
    refused(
        &of(&socket, "alice", "channel_binding=require"),
        3,
        &["channel binding"],
    );
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = server.private("encrypted.key", encrypted);
    let text = format!("sslmode=require sslcert={certificate} sslkey={encrypted}");
    refused(
        &of("localhost", "mutual", &text),
        3,
        &["encrypted key", "openssl pkey"],
    );
    // IPv6, where the machine has it.
    if has_ipv6() {
        goes(&format!(
            "postgresql://alice:{ENCODED}@[::1]:{port}/postgres"
        ));
        goes(&of("::1", "alice", ""));
    } else {
        eprintln!("the machine has no ::1: IPv6 not tried");
    }
}

/// Sockets: as the operating system's user, as anybody, and with a password. No encryption is tried there.
fn sockets(server: &Secured) {
    let socket = server.path("socket");
    let port = server.port.to_string();
    for user in [&*server.me, "trusted"] {
        server.goes(
            &[
                ("POSTGRES_HOST", &socket),
                ("POSTGRES_PORT", &port),
                ("POSTGRES_USER", user),
                ("POSTGRES_DB", "postgres"),
                ("PGSSLMODE", "verify-full"),
            ],
            &[],
        );
    }
    let encoded = socket.replace('/', "%2F");
    let uri = format!("postgresql://alice:{ENCODED}@{encoded}:{port}/postgres?sslmode=require");
    server.goes(&[("POSTGRES_URL", &uri)], &[]);
    let uri = format!("postgresql:///postgres?host={encoded}&port={port}&user=alice");
    let line = server.private(
        "of-socket",
        &format!(
            "localhost:*:*:alice:{}\n",
            PASSWORD.replace('\\', r"\\").replace(':', r"\:")
        ),
    );
    server.goes(&[("PGPASSFILE", &line)], &["--postgres", &uri]);
    // Another user than the operating system's.
    let other = format!(
        "host={socket} port={port} user=\"{}\" dbname=postgres",
        server.me
    );
    server.goes(&[("POSTGRES_URL", &other.replace('"', ""))], &[]);
    let absent = format!("host={socket} port=1 user=trusted dbname=postgres");
    server.refused(&[("POSTGRES_URL", &absent)], &[], 3, &[".s.PGSQL.1"]);
}

/// Several hosts: one is down, one is a standby.
fn hosts(stack: &TestStack, server: &Secured) {
    let (down, port) = (free_port(), server.port);
    let two = format!("postgresql://alice:{ENCODED}@localhost:{down},localhost:{port}/postgres");
    server.goes(&[("POSTGRES_URL", &two)], &[]);
    let none = format!("{two}?target_session_attrs=standby");
    server.refused(
        &[("POSTGRES_URL", &none)],
        &[],
        3,
        &[
            "target_session_attrs=standby",
            "it is no standby",
            "refused",
        ],
    );
    // A refusal of the user ends the search.
    let wrong = format!("postgresql://alice:wrong@localhost:{port},localhost:{down}/postgres");
    server.refused(
        &[("POSTGRES_URL", &wrong)],
        &[],
        3,
        &["password authentication failed"],
    );

    stack.sql("CREATE TABLE t (id bigint PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
    stack.sql("SELECT pg_create_logical_replication_slot('reach', 'pgoutput')");
    let standby = Standby::start(stack);
    stack.sql("INSERT INTO t VALUES (7)");
    standby.catch_up();
    let of = |name: &str| stack.env[name].clone();
    let pair = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user={} password={} dbname={}",
        standby.server().port,
        of("POSTGRES_PORT"),
        of("POSTGRES_USER"),
        of("POSTGRES_PASSWORD"),
        of("POSTGRES_DB"),
    );
    for wanted in ["read-write", "primary"] {
        let url = format!("{pair} target_session_attrs={wanted}");
        let captured = server.run(&[("POSTGRES_URL", &url)], &CAPTURE);
        assert_eq!(captured.code, 0, "{}", captured.err);
    }
    let on_standby = |wanted: &str| {
        let url = format!("{pair} target_session_attrs={wanted}");
        let list = url
            .parse::<pgcdc::ConnectionParameters>()
            .unwrap()
            .servers()
            .unwrap();
        stack.block_on(list.choose()).unwrap().port == standby.server().port
    };
    assert!(
        on_standby("any")
            && on_standby("standby")
            && on_standby("prefer-standby")
            && on_standby("read-only")
    );
    assert!(!on_standby("primary"));
    drop(standby);
    stack.sql("SELECT pg_drop_replication_slot('reach')");
    stack.sql("DROP PUBLICATION p; DROP TABLE t");
}
