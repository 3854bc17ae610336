//! The document store: SecantusDB, or MongoDB itself where it is installed.

use std::path::Path;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use secrecy::ExposeSecret;

use super::launch::{path_text, server_spec, until_ready};
use super::plan::{STORE, StartPlan, password};
use crate::artifacts::{StoreProgram, version};
use crate::endpoints::Endpoints;
use crate::error::StackError;
use crate::files::{make_dir, write_private};
use crate::processes::Child;

/// The replica set of a mongod of ours.
const REPLICA_SET: &str = "cdc";

/// Starts the document store with one user.
pub(crate) async fn start(plan: &StartPlan<'_>, password: &str) -> Result<Child, StackError> {
    let child = match &plan.artifacts.store {
        StoreProgram::Secantus(program) => secantus(plan, program, password).await?,
        StoreProgram::Mongod(program) => mongod(plan, program, password).await?,
    };
    plan.report_ready(STORE);
    Ok(child)
}

/// SecantusDB's user is created in a first start without authentication, on a loopback port that is not published.
async fn secantus(
    plan: &StartPlan<'_>,
    program: &Path,
    password: &str,
) -> Result<Child, StackError> {
    let data = plan.folder.join("store");
    make_dir(&data, 0o700)?;
    let data = path_text(&data);
    let args = |auth: &[&str]| {
        let mut args = [
            "--host",
            "127.0.0.1",
            "--port",
            &plan.ports.store.to_string(),
            "--storage-path",
            &data,
            "--sync-on-commit",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(auth.iter().map(|flag| (*flag).to_owned()));
        args
    };
    let server = |args| {
        server_spec(
            plan,
            "store",
            &format!("SecantusDB {}", version::secantusdb()),
            plan.ports.store,
            program,
            args,
        )
    };
    let mut open = Child::start(server(args(&[])))?;
    until_ready(&mut open, plan.cancel, || {
        make_user(plan.ports.store, password)
    })
    .await?;
    // The user is on disk (--sync-on-commit); an orderly end would take seconds.
    open.kill();
    let mut child = Child::start(server(args(&["--auth"])))?;
    until_ready(&mut child, plan.cancel, || ready(plan.endpoints)).await?;
    Ok(child)
}

/// MongoDB itself, as a replica set of one, its user made through the localhost exception.
async fn mongod(plan: &StartPlan<'_>, program: &Path, password: &str) -> Result<Child, StackError> {
    let data = plan.folder.join("store");
    make_dir(&data, 0o700)?;
    let key = plan.folder.join("store.key");
    write_private(&key, self::password().as_bytes())?;
    let args = mongod_args(plan.ports.store, &path_text(&data), &path_text(&key));
    let mut child = Child::start(server_spec(
        plan,
        "store",
        "MongoDB",
        plan.ports.store,
        program,
        args,
    ))?;
    until_ready(&mut child, plan.cancel, || initiate(plan.ports.store)).await?;
    until_ready(&mut child, plan.cancel, || {
        make_user(plan.ports.store, password)
    })
    .await?;
    until_ready(&mut child, plan.cancel, || ready(plan.endpoints)).await?;
    Ok(child)
}

/// Members of a replica set with accounts need a key to know each other by, also where there is one.
fn mongod_args(port: u16, data: &str, key: &str) -> Vec<String> {
    [
        "--bind_ip",
        "127.0.0.1",
        "--replSet",
        REPLICA_SET,
        "--auth",
        "--nounixsocket",
        "--port",
        &port.to_string(),
        "--dbpath",
        data,
        "--keyFile",
        key,
    ]
    .map(str::to_owned)
    .to_vec()
}

async fn admin(port: u16) -> Result<mongodb::Database, String> {
    let uri =
        format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=2000");
    let options = ClientOptions::parse(uri).await.map_err(|e| e.to_string())?;
    Ok(mongodb::Client::with_options(options)
        .map_err(|e| e.to_string())?
        .database("admin"))
}

async fn initiate(port: u16) -> Result<(), String> {
    let config =
        doc! { "_id": REPLICA_SET, "members": [{ "_id": 0, "host": format!("127.0.0.1:{port}") }] };
    match admin(port)
        .await?
        .run_command(doc! { "replSetInitiate": config })
        .await
    {
        Err(error) if !error.to_string().contains("already initialized") => Err(error.to_string()),
        _ => Ok(()),
    }
}

async fn make_user(port: u16, password: &str) -> Result<(), String> {
    let user = doc! { "createUser": "cdc_bench", "pwd": password, "roles": ["root"] };
    match admin(port).await?.run_command(user).await {
        Err(error) if !error.to_string().contains("already exists") => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Ready when it lists collections for its user.
pub(crate) async fn ready(endpoints: &Endpoints) -> Result<(), String> {
    let mut options = ClientOptions::parse(endpoints.store.uri.expose_secret())
        .await
        .map_err(|e| e.to_string())?;
    options.server_selection_timeout = Some(Duration::from_secs(2));
    let client = mongodb::Client::with_options(options).map_err(|e| e.to_string())?;
    // A ping needs no privileges; listing collections does.
    client
        .database(&endpoints.store.database)
        .list_collection_names()
        .await
        .map(drop)
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is no mongod to run it with on every machine.
    #[test]
    fn mongod_is_started_as_a_replica_set_with_accounts_on_loopback() {
        let line = mongod_args(7, "/data", "/key").join(" ");
        assert_eq!(
            line,
            "--bind_ip 127.0.0.1 --replSet cdc --auth --nounixsocket --port 7 --dbpath /data --keyFile /key"
        );
    }
}
