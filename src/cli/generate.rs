//! `generate`: the load generator only.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::load_args::LoadArgs;
use super::output::{StdoutWriter, print_json, print_line};
use super::progress::Terminal;
use crate::load::Limit;
use crate::pipeline::{Failure, GenerateRequest, exit, generate};
use crate::settings::Settings;
use cdc_bench_model::RunId;
use cdc_bench_model::event::Generator;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// Value of the run_id column [default: a new one]
    #[arg(long, value_name = "RUN_ID", value_parser = RunId::parse)]
    run_id: Option<RunId>,
    /// Print the events as JSON lines, and insert nothing
    #[arg(long, conflicts_with = "duration")]
    dry_run: bool,
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
    if args.dry_run {
        print_events(&args.load, cancel)?;
        return Ok(ExitCode::SUCCESS);
    }
    let request = GenerateRequest {
        id: args.run_id.unwrap_or_else(RunId::generate),
        limit: args.load.limit(),
        rate: args.load.rate(),
        insert_batch: args.load.inserter.insert_batch(),
        connections: args.load.inserter.connections(),
        seed: args.load.inserter.seed,
        is_external: settings.given.is_some(),
        yes_load: settings.yes_load.clone(),
    };
    let postgres = cdc_bench_stack::running_endpoints(&settings.servers())?.postgres()?;
    let done = generate(request, &postgres, progress, cancel).await?;
    progress.clear();
    if args.json {
        print_json(&done)?;
    } else {
        let ms = |us: i64| cdc_bench_model::timeline::Nanos::from_micros(us).as_millis_f64();
        print_line(format_args!(
            "run {}: {} events inserted, {:.0}/s, {} errors; commit p50 {:.2} ms, p99 {:.2} ms; schedule lag p99 {:.2} ms",
            done.run_id,
            done.inserted,
            done.per_s.unwrap_or_default(),
            done.errors,
            ms(done.commit.p50),
            ms(done.commit.p99),
            ms(done.schedule_lag.p99)
        ))?;
    }
    Ok(ExitCode::from(if done.errors > 0 {
        exit::OBJECTIVE_MISSED
    } else {
        0
    }))
}

fn print_events(load: &LoadArgs, cancel: &CancellationToken) -> Result<(), Failure> {
    let Limit::Events(count) = load.limit() else {
        unreachable!("--dry-run and --duration exclude each other");
    };
    let mut out = StdoutWriter::over(std::io::BufWriter::new(std::io::stdout()));
    let rows = Generator::new(load.inserter.seed, jiff::Timestamp::now());
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    for row in rows.take(count) {
        if cancel.is_cancelled() {
            return Err(Failure::interrupted());
        }
        let payload =
            serde_json::value::RawValue::from_string(row.payload).map_err(Failure::usage)?;
        let line = serde_json::json!({
            "id": row.id, "seq": row.seq, "event_type": row.event_type.as_str(),
            "aggregate_type": row.event_type.aggregate_type(), "aggregate_id": row.aggregate_id, "payload": payload,
        });
        out.line(line)?;
        if !out.is_open() {
            break;
        }
    }
    out.flush()
}
