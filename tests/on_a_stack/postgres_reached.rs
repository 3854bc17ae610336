//! PostgreSQL as libpq reaches it: every way to give a password, client certificates, sockets without a password, several
//! hosts, a pooler, and roles that may replicate by a provider's rule. On the stack's version, and on Debian's where that is
//! installed.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use rcgen::SanType;
use tempfile::TempDir;

use super::Test;
use super::pki::{authority, certificate, issue};
use super::stack::command::{Ended, assert_complete, cdc_bench, ended, small_run, with};
use super::stack::{TestStack, id, open_folder, signal, until};
use super::standby::Standby;
use super::watching::{on_a_terminal, screen_of, times};

pub const LONG_TESTS: &[Test] = &[(
    "postgres_is_reached_as_libpq_does_and_a_refusal_says_what_to_do",
    reached,
)];

/// Holds every sign that some quoting gives a meaning.
const PASSWORD: &str = r#"p@ss:w/rd#1 %41"'\"#;
/// The same, percent-encoded.
const ENCODED: &str = "p%40ss%3Aw%2Frd%231%20%2541%22%27%5C";
/// The same between libpq's single quotes.
const QUOTED: &str = r#"'p@ss:w/rd#1 %41"\'\\'"#;
/// Programs of Debian's PostgreSQL.
const DEBIAN: &str = "/usr/lib/postgresql/15/bin";
/// What a command reads of the database: the rows since the last one.
const CAPTURE: [&str; 7] = [
    "capture",
    "--publication",
    "p",
    "--slot",
    "reach",
    "--until",
    "now",
];

/// A server of the test's own, with TLS and a socket, stopped when it is dropped.
struct Secured {
    folder: TempDir,
    port: u16,
    process: Child,
    /// The operating system's user, who is let in by the socket as himself.
    me: String,
}

impl Secured {
    fn start(bin: &Path) -> Self {
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
             hostssl all rds,bare all scram-sha-256\nhost all trusted 127.0.0.1/32 trust\n\
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
        for role in ["alice", "mutual", "cleartext"] {
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

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// Writes a file that only its owner may read.
    fn private(&self, name: &str, text: &str) -> String {
        std::fs::write(self.file(name), text).unwrap();
        std::fs::set_permissions(self.file(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        self.path(name)
    }

    /// Runs SQL as the superuser, by the socket; the first column of every row.
    fn sql(&self, text: &str) -> Vec<String> {
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
    fn run(&self, variables: &[(&str, &str)], args: &[&str]) -> Ended {
        let mut command = with(cdc_bench(), args);
        command
            .current_dir(self.folder.path())
            .env("HOME", self.path("home"));
        command.stdin(Stdio::null());
        ended(with_variables(command, variables))
    }

    /// Captures a row.
    #[track_caller]
    fn goes(&self, variables: &[(&str, &str)], more: &[&str]) {
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
    fn refused(&self, variables: &[(&str, &str)], more: &[&str], code: i32, says: &[&str]) {
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

fn with_variables(mut command: Command, variables: &[(&str, &str)]) -> Command {
    command.envs(variables.iter().copied());
    command
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// PostgreSQL refuses root.
fn never_root(command: &mut Command) -> &mut Command {
    if geteuid().is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
    }
    command
}

fn reached(stack: &TestStack) {
    let program = format!("/proc/{}/exe", stack.postgres_pid());
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
    goes(&[("POSTGRES_PASSWORD", PASSWORD)]);
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
        &["not valid for name"],
    );
    goes(&of(
        "localhost",
        "alice",
        &format!("hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}"),
    ));
    refused(
        &of("localhost", "alice", "sslrootcert=system"),
        3,
        &["UnknownIssuer"],
    );
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

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
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

/// A pooler is named.
fn pooler(stack: &TestStack, server: &Secured) {
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
    signal(id(&process), Signal::SIGKILL);
    let _ = process.wait();
}

/// A role that may replicate as on RDS, and one that may not. "doctor" says which, with the statement that grants it.
fn rights(stack: &TestStack, server: &Secured) {
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
    assert!(
        rds.out.contains("rights suffice"),
        "{} {}",
        rds.out,
        rds.err
    );
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
fn main_job(stack: &TestStack, server: &Secured) {
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
    for (name, _) in &stack.env {
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
    let files = results.path().to_owned();
    for entry in walk(&files) {
        let bytes = std::fs::read(&entry).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains(PASSWORD) && !text.contains(ENCODED),
            "{}",
            entry.display()
        );
    }
}

/// A run by the socket. Debezium cannot take it, and is told where else PostgreSQL is.
fn run_by_socket(stack: &TestStack, server: &Secured) {
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

/// Every file below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
