//! PostgreSQL.

use secrecy::ExposeSecret;
use tokio_postgres::error::SqlState;

use super::launch::{path_text, run_to_end, server_spec, until_ready};
use super::plan::{POSTGRES, StartPlan};
use crate::artifacts::version;
use crate::endpoints::{PostgresConnectError, PostgresEndpoint};
use crate::error::StackError;
use crate::files::{make_dir, write_private};
use crate::processes::Child;
use crate::user::{NOBODY, is_root};

/// PostgreSQL's settings, beside its address.
pub(crate) const SETTINGS: [(&str, &str); 4] = [
    ("wal_level", "logical"),
    ("max_replication_slots", "20"),
    ("max_wal_senders", "20"),
    ("max_connections", "100"),
];

/// Starts PostgreSQL with `wal_level = logical`. Each commit is flushed to disk, because that is part of what is
/// measured.
pub(crate) async fn start(plan: &StartPlan<'_>) -> Result<Child, StackError> {
    let bin = &plan.artifacts.postgres_bin;
    let home = plan.folder.join("postgres");
    make_dir(&home, 0o700)?;
    let password_file = home.join("password");
    let password = plan.endpoints.postgres.password.as_ref();
    let password = password
        .map(ExposeSecret::expose_secret)
        .unwrap_or_default();
    write_private(&password_file, password.as_bytes())?;
    if is_root() {
        for path in [&home, &password_file] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))
                .map_err(StackError::io("hand over", path))?;
        }
    }
    let data = home.join("data");
    let mut init: Vec<String> = [
        "-U",
        "postgres",
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
        "-D",
    ]
    .map(str::to_owned)
    .to_vec();
    init.extend([
        path_text(&data),
        format!("--pwfile={}", path_text(&password_file)),
    ]);
    run_to_end(plan, "postgres", &bin.join("initdb"), &init, true).await?;
    std::fs::remove_file(&password_file).map_err(StackError::io("remove", &password_file))?;
    let port = plan.ports.postgres.to_string();
    let here = [
        ("listen_addresses", "127.0.0.1"),
        ("port", &port),
        ("unix_socket_directories", ""),
    ];
    let mut args = vec!["-D".to_owned(), path_text(&data)];
    args.extend(
        here.iter()
            .chain(&SETTINGS)
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]),
    );
    // Later ones win.
    args.extend(
        plan.options
            .postgres_settings
            .iter()
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]),
    );
    let mut server = server_spec(
        plan,
        "postgres",
        version::postgres(),
        plan.ports.postgres,
        bin.join("postgres"),
        args,
    );
    server.never_root = true;
    server.folder = data;
    let mut child = Child::start(server)?;
    until_ready(&mut child, plan.cancel, || ready(&plan.endpoints.postgres)).await?;
    plan.report_ready(POSTGRES);
    Ok(child)
}

/// Ready when a query in the database succeeds. Creates the database if it does not exist.
pub(crate) async fn ready(endpoint: &PostgresEndpoint) -> Result<(), String> {
    let query = async |endpoint: &PostgresEndpoint, sql: &str| {
        let (client, driver) = endpoint.connect().await?;
        let answer = client.batch_execute(sql).await;
        drop(client);
        // The answer holds the error of a broken connection.
        let _ = driver.await;
        answer.map_err(PostgresConnectError::from)
    };
    let create = format!("CREATE DATABASE {}", endpoint.database);
    let answer = match query(endpoint, "SELECT 1").await {
        Err(PostgresConnectError::Postgres(error))
            if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) =>
        {
            query(&endpoint.with_database("postgres"), &create).await
        }
        answer => answer,
    };
    answer.map_err(|error| error.to_string())
}
