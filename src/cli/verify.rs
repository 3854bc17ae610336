//! `verify`: compares PostgreSQL with the store.

use std::process::ExitCode;

use console::style;
use tokio_util::sync::CancellationToken;

use super::output::{print, print_json};
use super::progress::Terminal;
use crate::pipeline::{Failure, connect_postgres, exit};
use crate::settings::Settings;
use crate::store::{MongoStore, Scope, StoreVerification, VerifyError, verify};
use cdc_bench_model::RunId;
use cdc_bench_stack::StepProgress;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Events of this run alone [default: everything in the table and the collection]
    #[arg(value_name = "RUN_ID", value_parser = RunId::parse)]
    run_id: Option<RunId>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: Args,
    settings: &Settings,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let given = cdc_bench_stack::running_endpoints(&settings.servers())?;
    let step = "verification";
    progress.begin(step);
    progress.update(step, "connecting to the servers");
    let postgres = connect_postgres(&given.postgres()?).await?;
    let store = MongoStore::connect_patiently(&given.store()?).await?;
    let scope = match &args.run_id {
        Some(run) => Scope::Run(run.to_string()),
        None => Scope::All,
    };
    let compared = |count: u64| progress.update(step, &format!("{count} events compared"));
    let found = verify(&postgres, &store, scope, &compared, cancel.clone()).await;
    progress.clear();
    let found = found.map_err(|error| match error {
        VerifyError::Cancelled => Failure::interrupted(),
        error => Failure::server(error),
    })?;
    if args.json {
        print_json(&found)?;
    } else {
        print(render(&found))?;
    }
    Ok(ExitCode::from(if found.is_match() {
        0
    } else {
        exit::DATA
    }))
}

fn render(found: &StoreVerification) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "{} rows, {} documents: {} missing, {} extra, {} differing; {:.4} % match\n",
        found.postgres_count,
        found.store_count,
        found.missing,
        found.extra,
        found.differing,
        found.match_percent
    );
    let mut list = |title: &str, all: u64, lines: Vec<String>| {
        if all == 0 {
            return;
        }
        let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let more = if shown < all {
            format!(" (the first {shown} of {all})")
        } else {
            String::new()
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}{more}", style(title).red());
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    };
    list(
        "rows without a document",
        found.missing,
        found
            .first_missing
            .iter()
            .map(ToString::to_string)
            .collect(),
    );
    list(
        "documents without a row",
        found.extra,
        found.first_extra.iter().map(ToString::to_string).collect(),
    );
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(nothing)".to_owned());
    let fields = found.first_differing.iter().map(|difference| {
        let fields: Vec<_> = difference
            .fields
            .iter()
            .map(|f| {
                format!(
                    "{}: {} in PostgreSQL, {} in the store",
                    f.path,
                    side(&f.postgres),
                    side(&f.store)
                )
            })
            .collect();
        format!("{}  {}", difference.id, fields.join("; "))
    });
    list(
        "documents that differ from their row",
        found.differing,
        fields.collect(),
    );
    text
}
