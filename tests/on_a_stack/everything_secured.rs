//! The main job over servers that are all secured, from one `.env` with the lines of the documented example.

use std::collections::BTreeMap;
use std::fs;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::Test;
use super::postgres_reached::server::{PASSWORD as POSTGRES_PASSWORD, Secured as Postgres};
use super::secured_connect::{
    self as connect, PASSWORD as LOGIN_PASSWORD, PREFIX, Store, acceptor, certificates, gateway,
};
use super::secured_kafka::{self as kafka, PASSWORD as KAFKA_PASSWORD, Secured as Kafka};
use super::stack::command::{assert_complete, cdc_bench, ended, small_run};
use super::stack::{TestStack, everything, open_folder};

pub const LONG_TESTS: &[Test] = &[(
    "everything_secured_at_once_is_reached_from_one_env_file",
    secured,
)];

const GUIDE: &str = include_str!("../../docs/how-to/own-servers.md");

/// The names that the documented `.env` sets.
fn documented() -> Vec<&'static str> {
    let (_, example) = GUIDE.split_once("```ini\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let lines = example.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| Some(line.split_once('=')?.0));
    names.collect()
}

fn secured(stack: &TestStack) {
    let issuer = stack.block_on(kafka::issuer());
    let kafka = Kafka::start(&issuer);
    let program = fs::read_link(format!("/proc/{}/exe", kafka.stack.pid("postgres"))).unwrap();
    let postgres = Postgres::start(program.parent().unwrap());
    let folder = open_folder();
    let file = |name: &str| folder.path().join(name).display().to_string();
    certificates(folder.path());
    let gateway = stack.block_on(gateway(
        kafka.stack.env["CONNECT_URL"].clone(),
        acceptor(folder.path(), false),
    ));
    let data = folder.path().join("store");
    let store = Store::start(&kafka.stack, &data, &[]);
    store.add_user(&kafka.stack);
    drop(store);
    let [certificate, key, ca] = ["server.pem", "server.key", "ours.ca"].map(file);
    let store = Store::start(
        &kafka.stack,
        &data,
        &[
            "--auth",
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-file",
            &ca,
            "--tls-require-client-cert",
        ],
    );
    for (name, secret) in [
        ("postgres.secret", POSTGRES_PASSWORD),
        ("kafka.secret", KAFKA_PASSWORD),
        ("login.secret", LOGIN_PASSWORD),
    ] {
        fs::write(file(name), format!("{secret}\n")).unwrap();
    }
    // The JDBC driver wants the key so.
    let der = PrivateKeyDer::from_pem_file(postgres.path("mutual.key")).unwrap();
    fs::write(file("mutual.pk8"), der.secret_der()).unwrap();

    let here: BTreeMap<&str, String> = [
        (
            "POSTGRES_URL",
            format!(
                "postgresql://mutual@localhost:{}/postgres?sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
                postgres.port,
                postgres.path("ca.pem"),
                postgres.path("mutual.pem"),
                postgres.path("mutual.key"),
            ),
        ),
        ("POSTGRES_PASSWORD_FILE", file("postgres.secret")),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            format!("127.0.0.1:{}", kafka.ports["SCRAM"]),
        ),
        ("KAFKA_SSL_CA", kafka.file("ours.ca")),
        ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512".to_owned()),
        ("KAFKA_SASL_USERNAME", "bench".to_owned()),
        ("KAFKA_SASL_PASSWORD_FILE", file("kafka.secret")),
        ("CONNECT_URL", format!("https://127.0.0.1:{gateway}{PREFIX}")),
        ("CONNECT_SSL_CA", ca.clone()),
        ("CONNECT_USERNAME", "bench".to_owned()),
        ("CONNECT_PASSWORD_FILE", file("login.secret")),
        (
            "MONGODB_URI",
            format!(
                "mongodb://127.0.0.1:{}/?directConnection=true&authSource=admin&tls=true&tlsCAFile={ca}&tlsCertificateKeyFile={}",
                store.port,
                file("client.both"),
            ),
        ),
        ("MONGODB_USERNAME", "bench".to_owned()),
        ("MONGODB_PASSWORD_FILE", file("login.secret")),
        ("MONGODB_DATABASE", "activity_read".to_owned()),
    ]
    .into();
    let mut names: Vec<_> = documented();
    names.sort_unstable();
    assert_eq!(names, here.keys().copied().collect::<Vec<_>>());
    let lines = here.iter().map(|(name, value)| format!("{name}={value}\n"));
    fs::write(file(".env"), lines.collect::<String>()).unwrap();

    let mut command = cdc_bench();
    command.current_dir(folder.path()).env("LOG_LEVEL", "trace");
    let results = open_folder();
    let settings = [
        format!("database.sslkey={}", file("mutual.pk8")),
        // Connect itself is at the listener without TLS.
        format!(
            "producer.override.bootstrap.servers={}",
            here["KAFKA_BOOTSTRAP_SERVERS"]
        ),
    ];
    let args = [
        "--stack",
        "external",
        "--events",
        "1000",
        "--capture",
        "both",
        "--connector-config",
        &settings[0],
        "--connector-config",
        &settings[1],
    ];
    let end = ended(small_run(command, results.path(), &args));
    assert_eq!(end.code, 0, "{}", end.err);
    assert_complete(&end.json(), 1_000);
    let written = everything(results.path()) + &end.out + &end.err;
    let encoded = [POSTGRES_PASSWORD, LOGIN_PASSWORD].map(connect::encoded);
    let secrets = [POSTGRES_PASSWORD, KAFKA_PASSWORD, LOGIN_PASSWORD];
    let encoded = encoded.iter().map(String::as_str);
    for secret in secrets.into_iter().chain(encoded).chain(["PRIVATE KEY"]) {
        assert!(!written.contains(secret), "{secret} was written");
    }
}
