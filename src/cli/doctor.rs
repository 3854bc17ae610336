//! `doctor`: the state of each component, with advice where something is missing.

use std::process::ExitCode;

use console::style;

use super::output::{StdoutWriter, print_json};
use super::progress::Terminal;
use crate::pipeline::{Failure, examine, exit};
use crate::settings::Settings;
use cdc_bench_stack::{ComponentState, StepProgress};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the parts as JSON
    #[arg(long)]
    json: bool,
}

/// Examines the servers. `unfit`: why none of the servers of PostgreSQL that are given will do.
pub(super) async fn run(
    args: Args,
    settings: &Settings,
    unfit: Option<&Failure>,
    progress: &Terminal,
) -> Result<ExitCode, Failure> {
    progress.begin("examination");
    let parts = examine(settings, unfit).await;
    progress.clear();
    if args.json {
        print_json(&parts)?;
    } else {
        let mut out = StdoutWriter::new();
        let width = parts.iter().map(|part| part.name.len()).max().unwrap_or(0);
        for part in &parts {
            let mark = match part.standing {
                ComponentState::Good => style("✓").green(),
                ComponentState::Later => style("·").dim(),
                ComponentState::Bad => style("✗").red(),
            };
            out.line(format_args!("{mark} {:width$}  {}", part.name, part.found))?;
            if let Some(advice) = &part.advice {
                out.line(format_args!("  {:width$}  {}", "", style(advice).yellow()))?;
            }
        }
    }
    let no_problem = parts
        .iter()
        .all(|part| part.standing != ComponentState::Bad);
    Ok(ExitCode::from(if no_problem { 0 } else { exit::SERVER }))
}
