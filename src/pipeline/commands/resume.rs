//! Takes up a run whose program was killed: what it has on the servers, and what is left of its load.

use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_model::report::ResultFolder;
use cdc_bench_stack::PostgresEndpoint;
use jiff::Timestamp;
use tokio_postgres::Client;

use crate::load::Limit;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::orphans::{Standing, find};
use crate::pipeline::provision::source::connect_postgres;
use crate::pipeline::request::RunRequest;
use crate::pipeline::request::parameters::RunParameters;
use crate::pipeline::request::resumption::{Resumption, run_ids_before};
use crate::settings::Settings;

/// The run of these parameters as it goes on.
///
/// # Errors
/// When the run is under way, has ended or was cleaned up after, or has no event in this database; when PostgreSQL refuses.
pub async fn resume(
    run: &RunId,
    parameters: RunParameters,
    folder: ResultFolder,
    settings: Settings,
    postgres: &PostgresEndpoint,
) -> Result<RunRequest, Failure> {
    let client = connect_postgres(postgres).await?;
    check_standing(&client, run).await?;
    let limit = parameters.limit();
    let resumption = look(&client, run, &parameters).await?;
    let left = match limit {
        Limit::Events(events) => Limit::Events(events.saturating_sub(resumption.events_before)),
        Limit::Duration(span) => Limit::Duration(span.saturating_sub(resumption.span_before)),
    };
    parameters.request(folder, settings, (Some(resumption), left))
}

/// Only a run that is dead, and has its slots and topics still, can be taken up.
async fn check_standing(client: &Client, run: &RunId) -> Result<(), Failure> {
    let found = find(client).await?;
    let mut resources = found.resources.iter();
    let of_run = |entry: Option<&str>| entry == Some(run.as_str());
    let Some(resource) = resources.find(|found| of_run(found.entry.run_id.as_deref())) else {
        return Err(Failure::usage(anyhow::anyhow!(
            "run {run} cannot be taken up: nothing of it is registered in this database; it has ended, was cleaned up after, or ran on other servers"
        )));
    };
    if resource.standing == Standing::Alive {
        return Err(Failure::usage(anyhow::anyhow!(
            "run {run} is under way: \"cdc-bench monitor\" looks on"
        )));
    }
    Ok(())
}

/// What the parts before have in the outbox.
async fn look(
    client: &Client,
    run: &RunId,
    parameters: &RunParameters,
) -> Result<Resumption, Failure> {
    let part = parameters.parts + 1;
    let earlier = run_ids_before(run, part);
    // The time between two parts is none of the load's.
    let question = format!(
        "SELECT coalesce(sum(events), 0)::int8, coalesce(max(last_seq), -1)::int8, coalesce(sum(span), 0)::float8, \
           extract(epoch FROM max(last_commit))::float8 \
         FROM (SELECT count(*) AS events, max(seq) AS last_seq, max(created_at) AS last_commit, \
             extract(epoch FROM max(created_at) - min(created_at)) AS span \
           FROM {SCHEMA}.{TABLE} WHERE run_id = ANY($1) GROUP BY run_id) AS parts"
    );
    let row = client.query_one(&question, &[&earlier]).await?;
    let (events, last_seq): (i64, i64) = (row.get(0), row.get(1));
    let last_commit: Option<f64> = row.get(3);
    let last_commit = last_commit.and_then(|seconds| {
        let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
        Timestamp::UNIX_EPOCH.checked_add(since_epoch).ok()
    });
    Ok(Resumption {
        part,
        events_before: u64::try_from(events).unwrap_or_default(),
        span_before: Duration::try_from_secs_f64(row.get(2)).unwrap_or_default(),
        next_seq: u64::try_from(last_seq + 1).unwrap_or_default(),
        epoch: parameters.epoch,
        last_commit,
    })
}

/// Renames the recordings of a part, so that the next one's do not replace them.
pub(super) fn set_recordings_aside(folder: &ResultFolder, part: u32) -> Result<(), Failure> {
    let entries = std::fs::read_dir(folder.path()).into_iter().flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with("events.jsonl") || name.starts_with("latency") {
            let aside = folder.file(&format!("part-{part}-{name}"));
            std::fs::rename(entry.path(), &aside).map_err(|error| {
                Failure::usage(anyhow::anyhow!(
                    "cannot rename {name} of the part before to {}: {error}",
                    aside.display()
                ))
            })?;
        }
    }
    Ok(())
}
