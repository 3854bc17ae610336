//! `completions` and `man`: shell completions and manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use super::output::{print, print_line};
use crate::pipeline::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions of a command.
pub(super) fn completions(
    args: &CompletionsArgs,
    mut command: Command,
) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "cdc-bench", &mut script);
    print(String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Folder of the pages, made where it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Writes one page per command.
pub(super) fn man(args: &ManArgs, command: Command) -> Result<ExitCode, Failure> {
    let written = std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(command, &args.dir));
    written.map_err(|error| {
        let doing = format!("cannot write manual pages to {}", args.dir.display());
        Failure::usage(anyhow::Error::new(error).context(doing))
    })?;
    print_line(format_args!(
        "{}: man -l {}",
        args.dir.display(),
        args.dir.join("cdc-bench.1").display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
