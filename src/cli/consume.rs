//! `consume`: the consumer only.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::dead_letters::counted;
use super::output::{print_json, print_line};
use super::progress::Terminal;
use crate::pipeline::{ConsumeRequest, Failure, consume, exit};
use crate::settings::Settings;
use cdc_bench_model::RunId;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stop after this many records [default: go on until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Stop when no record has come for so long
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    idle_timeout: Option<u64>,
    /// Write the events of this run alone
    #[arg(long, value_name = "RUN_ID", value_parser = RunId::parse)]
    run_id: Option<RunId>,
    /// Where records go that cannot be written
    #[arg(long, value_name = "FILE", default_value = "dead-letters.jsonl")]
    dead_letters: PathBuf,
    /// Topic that they go to as well, with reason, origin and attempts in headers; it is created where there is none
    #[arg(long, value_name = "TOPIC")]
    dead_letter_topic: Option<String>,
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
    let request = ConsumeRequest {
        max: args.max,
        idle: args.idle_timeout.map(Duration::from_secs),
        run: args.run_id,
        dead_letters: args.dead_letters.clone(),
        dead_letter_topic: args.dead_letter_topic.clone(),
    };
    let done = consume(request, settings, &given, progress, cancel).await?;
    progress.clear();
    if args.json {
        print_json(&done)?;
    } else {
        let ms = |us: i64| cdc_bench_model::timeline::Nanos::from_micros(us).as_millis_f64();
        print_line(format_args!(
            "topic {}, group {}: {} consumed, {} written, {:.0}/s, {} dead letters; transform p50 {:.2} ms, p99 {:.2} ms; write p50 {:.2} ms, p99 {:.2} ms",
            done.topic,
            done.group,
            done.consumed,
            done.written,
            done.per_s.unwrap_or_default(),
            done.dead_letters,
            ms(done.transform.p50),
            ms(done.transform.p99),
            ms(done.write.p50),
            ms(done.write.p99)
        ))?;
        if done.dead_letters > 0 {
            let topic = args.dead_letter_topic.iter();
            let topic: String = topic.map(|topic| format!(" and topic {topic}")).collect();
            print_line(format_args!(
                "dead letters: {}; in {}{topic}",
                counted(&done.dead_letters_by_reason),
                args.dead_letters.display()
            ))?;
        }
    }
    Ok(ExitCode::from(if cancel.is_cancelled() {
        exit::INTERRUPTED
    } else if done.dead_letters > 0 {
        exit::OBJECTIVE_MISSED
    } else {
        0
    }))
}
