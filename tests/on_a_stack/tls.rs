//! TLS and SCRAM between the WAL reader and a real server, whose certificates are made for the test.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pgcdc::{ReaderConfig, ReaderError, Server, SslMode, TlsConfig};
use rcgen::SanType;
use tempfile::TempDir;

use super::Test;
use super::pki::{Authority, authority, certificate, issue};
use super::reader::{Reading, Table, server, temporary};
use super::stack::command::{ended, with};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("tls_is_as_strict_as_it_is_asked_to_be", strictness),
    (
        "tls_client_certificates_are_shown_and_required",
        client_certificates,
    ),
    ("tls_is_asked_of_commands_as_of_libpq", commands),
];

/// The password of the roles that have one.
const PASSWORD: &str = "tls-secret";
/// The host-based authentication. Connections without encryption are rejected.
const HBA: &str = "\
hostnossl all tls_scram,tls_cert,tls_both all reject
hostssl all tls_scram all scram-sha-256
hostssl all tls_cert all cert
hostssl all tls_both all scram-sha-256 clientcert=verify-full
";

/// The stack's server with TLS, undone when the guard is dropped.
struct Secured<'a> {
    stack: &'a TestStack,
    folder: TempDir,
    authority: Authority,
    hba: (PathBuf, String),
}

impl<'a> Secured<'a> {
    fn start(stack: &'a TestStack) -> Self {
        for role in ["tls_scram", "tls_cert", "tls_both"] {
            stack.sql(&format!("DROP ROLE IF EXISTS {role}"));
            stack.sql(&format!(
                "CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{PASSWORD}'"
            ));
        }
        let path = PathBuf::from(&stack.sql("SHOW hba_file")[0]);
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{HBA}{before}")).unwrap();
        let secured = Self {
            stack,
            folder: open_folder(),
            authority: authority("ours"),
            hba: (path, before),
        };
        let authority = secured.folder.path().join("authority.pem");
        std::fs::write(authority, secured.authority.pem()).unwrap();
        secured.be(&[SanType::DnsName("localhost".try_into().unwrap())]);
        secured
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate and its key.
    fn issue(&self, by: &Authority, name: &str, common_name: &str, hosts: &[SanType]) {
        let params = certificate(common_name, hosts);
        issue(self.folder.path(), by, name, &params);
    }

    /// Gives the server a certificate for these names.
    fn be(&self, hosts: &[SanType]) {
        let name = format!(
            "server{}",
            std::fs::read_dir(self.folder.path()).unwrap().count()
        );
        self.issue(&self.authority, &name, "postgres", hosts);
        let owner = std::fs::metadata(&self.hba.0).unwrap();
        for file in [
            self.file("authority.pem"),
            self.file(&format!("{name}.pem")),
            self.file(&format!("{name}.key")),
        ] {
            // Permissions that the server requires of its key.
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let shown = self.file(&format!("{name}.pem")).display().to_string();
        for (setting, value) in [
            ("ssl", "on".to_owned()),
            (
                "ssl_ca_file",
                self.file("authority.pem").display().to_string(),
            ),
            ("ssl_cert_file", shown.clone()),
            (
                "ssl_key_file",
                self.file(&format!("{name}.key")).display().to_string(),
            ),
        ] {
            self.stack
                .sql(&format!("ALTER SYSTEM SET {setting} = '{value}'"));
        }
        self.stack.sql("SELECT pg_reload_conf()");
        until("the server to have its certificate", || {
            self.stack.sql("SHOW ssl_cert_file") == [shown.clone()]
        });
    }

    fn server(&self, host: &str, user: &str, tls: TlsConfig) -> Server {
        let of_stack = server(self.stack);
        Server {
            tls,
            ..Server::new(
                host,
                of_stack.port,
                user,
                PASSWORD.to_owned(),
                of_stack.database,
            )
        }
    }

    fn verify_full(&self) -> TlsConfig {
        TlsConfig::verify_full(Some(self.file("authority.pem")))
    }

    fn read(&self, server: Server) -> Result<Reading, ReaderError> {
        Reading::start(self.stack, ReaderConfig::new(server, temporary(), ["p"]))
    }

    /// Reads a row, over an encrypted connection.
    #[track_caller]
    fn goes(&self, server: Server) {
        let reading = self.read(server).unwrap();
        let encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)";
        assert_eq!(self.stack.sql(encrypted), ["t"]);
        self.stack.sql("TRUNCATE t; INSERT INTO t VALUES (7)");
        reading.until_commits(1);
        assert_eq!(reading.inserted(), [7]);
        reading.reader.stop().unwrap();
        // The next one's has the same name.
        let gone = "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'reader_test'";
        until("the temporary slot to be gone", || {
            self.stack.sql(gone).is_empty()
        });
    }

    /// Is refused, with a message that contains these words.
    #[track_caller]
    fn refused(&self, server: Server, says: &str) {
        let error = self.read(server).err().expect("it was let in").to_string();
        assert!(error.contains(says), "{says:?} is not in: {error}");
        assert!(!error.contains(PASSWORD), "{error}");
    }
}

impl Drop for Secured<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        std::fs::write(&self.hba.0, &self.hba.1).unwrap();
        for setting in ["ssl", "ssl_ca_file", "ssl_cert_file", "ssl_key_file"] {
            self.stack.sql(&format!("ALTER SYSTEM RESET {setting}"));
        }
        self.stack.sql("SELECT pg_reload_conf()");
        self.stack
            .sql("DROP ROLE tls_scram; DROP ROLE tls_cert; DROP ROLE tls_both");
    }
}

fn table(stack: &TestStack) -> Table<'_> {
    Table::make(stack, "CREATE TABLE t (id bigint PRIMARY KEY)")
}

fn strictness(stack: &TestStack) {
    let _table = table(stack);
    let secured = Secured::start(stack);
    let of = |tls: TlsConfig| secured.server("localhost", "tls_scram", tls);
    secured.goes(of(secured.verify_full()));
    secured.goes(of(TlsConfig::require()));
    secured.refused(of(TlsConfig::disabled()), "no encryption");
    let mut wrong = of(secured.verify_full());
    wrong.password = Some("certainly-wrong".into());
    secured.refused(wrong, "password authentication failed");
    // Another authority than that of the server's certificate.
    std::fs::write(secured.file("other.pem"), authority("other").pem()).unwrap();
    let other = || Some(secured.file("other.pem"));
    secured.refused(of(TlsConfig::verify_full(other())), "UnknownIssuer");
    secured.refused(of(TlsConfig::verify_ca(other())), "UnknownIssuer");
    secured.refused(of(TlsConfig::verify_full(None)), "UnknownIssuer");
    // A host that is not in the certificate, by address and by name.
    let address = |tls| secured.server("127.0.0.1", "tls_scram", tls);
    secured.refused(address(secured.verify_full()), "not valid for name");
    secured.be(&[SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))]);
    secured.goes(address(secured.verify_full()));
    secured.refused(of(secured.verify_full()), "not valid for name");
    // Whatever name it holds.
    let authority = Some(secured.file("authority.pem"));
    secured.goes(of(TlsConfig::verify_ca(authority)));
}

fn client_certificates(stack: &TestStack) {
    let _table = table(stack);
    let secured = Secured::start(stack);
    secured.issue(&secured.authority, "cert", "tls_cert", &[]);
    secured.issue(&secured.authority, "both", "tls_both", &[]);
    secured.issue(&authority("other"), "stranger", "tls_cert", &[]);
    let shown = |name: &str| {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let tls = secured.verify_full();
        tls.with_client_cert(secured.file(&certificate), secured.file(&key))
    };
    let of = |user: &str, tls: TlsConfig| secured.server("localhost", user, tls);
    secured.goes(of("tls_cert", shown("cert")));
    secured.goes(of("tls_both", shown("both")));
    for user in ["tls_cert", "tls_both"] {
        secured.refused(
            of(user, secured.verify_full()),
            "requires a valid client certificate",
        );
        secured.refused(of(user, shown("stranger")), "UnknownCA");
    }
    // A certificate of another user.
    secured.refused(
        of("tls_cert", shown("both")),
        "certificate authentication failed",
    );
    let mut half = secured.verify_full();
    half.client_cert_pem_path = Some(secured.file("cert.pem"));
    assert_eq!(half.mode, SslMode::VerifyFull);
    secured.refused(of("tls_cert", half), "requires both");
}

fn commands(stack: &TestStack) {
    let _table = table(stack);
    let secured = Secured::start(stack);
    secured.issue(&secured.authority, "both", "tls_both", &[]);
    let run = |args: &[&str], mode: &str, authority: &Path| {
        let mut command = with(stack.external(), args);
        for name in ["KAFKA_BOOTSTRAP_SERVERS", "CONNECT_URL", "MONGODB_URI"] {
            command.env_remove(name);
        }
        command
            .env("POSTGRES_HOST", "localhost")
            .env("POSTGRES_USER", "tls_both")
            .env("POSTGRES_PASSWORD", PASSWORD)
            .env("PGSSLMODE", mode)
            .env("PGSSLROOTCERT", authority)
            .env("PGSSLCERT", secured.file("both.pem"))
            .env("PGSSLKEY", secured.file("both.key"));
        ended(command)
    };
    let known = secured.file("authority.pem");
    let other = secured.file("other.pem");
    std::fs::write(&other, authority("other").pem()).unwrap();

    let capture = [
        "capture",
        "--publication",
        "p",
        "--slot",
        "tls",
        "--until",
        "now",
    ];
    assert_eq!(run(&capture, "verify-full", &known).out, "");
    stack.sql("INSERT INTO t VALUES (8)");
    let captured = run(&capture, "verify-full", &known);
    assert_eq!(captured.code, 0, "{}", captured.err);
    assert!(
        captured.out.contains("\"after\":{\"id\":8}"),
        "{}",
        captured.out
    );
    run(&capture, "verify-full", &other).refused(3, &["UnknownIssuer"]);
    run(&capture, "disable", &known).refused(3, &["no encryption"]);
    run(&capture, "sometimes", &known).refused(2, &["verify-full"]);
    stack.sql("SELECT pg_drop_replication_slot('tls')");

    // The load generator has connections of its own, and need not read the registry of somebody else.
    stack.sql(include_str!("../../sql/outbox.sql"));
    stack.sql(include_str!("../../sql/resource_registry.sql"));
    stack.sql("GRANT USAGE ON SCHEMA activity TO tls_both; GRANT INSERT, SELECT ON activity.event_outbox TO tls_both");
    let generate = ["generate", "--events", "3", "--run-id", "tls"];
    let generated = run(&generate, "verify-full", &known);
    assert_eq!(generated.code, 0, "{}", generated.err);
    let inserted = "DELETE FROM activity.event_outbox WHERE run_id = 'tls' RETURNING id";
    assert_eq!(stack.sql(inserted).len(), 3);
    run(&generate, "verify-full", &other).refused(3, &["UnknownIssuer"]);
    run(&generate, "disable", &known).refused(3, &["no encryption"]);
    stack.sql("DROP SCHEMA activity, cdc_bench CASCADE");
}
