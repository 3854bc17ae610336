//! `stack logs`: prints the logs of the kept stack's servers, and follows them.

use std::io::{Read, Seek, SeekFrom};
use std::process::ExitCode;
use std::time::Duration;

use console::style;
use tokio_util::sync::CancellationToken;

use crate::cli::output::StdoutWriter;
use crate::pipeline::{Failure, exit};
use cdc_bench_stack::{Cache, KeptStack, StackError, server_of};

/// Poll interval of a followed log.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LogArgs {
    /// postgres, kafka, connect or store, or one of several, such as kafka-2 [default: all]
    server: Option<String>,
    /// Go on as more is written
    #[arg(short, long)]
    follow: bool,
    /// Begin with this many of the last lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
}

/// A server's log, with a read position.
struct LogTail {
    name: String,
    file: std::fs::File,
}

/// Prints the last lines, and follows the logs if asked to.
pub(super) async fn logs(
    cache: &Cache,
    args: &LogArgs,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let stack = KeptStack::find(cache).ok_or_else(|| {
        StackError::NotUp("no stack is up; \"cdc-bench stack up\" starts one".to_owned())
    })?;
    let names: Vec<_> = stack.servers().iter().map(|s| s.name.clone()).collect();
    let is_wanted = |name: &str| {
        let wanted = args.server.as_deref();
        wanted.is_none_or(|wanted| wanted == name || wanted == server_of(name))
    };
    if let Some(wanted) = &args.server
        && !names.iter().any(|name| is_wanted(name))
    {
        return Err(Failure::usage(anyhow::anyhow!(
            "there is no server {wanted:?}: it is one of {}",
            names.join(", ")
        )));
    }
    let mut tails = Vec::new();
    for server in stack.servers() {
        if is_wanted(&server.name) {
            let file = std::fs::File::open(&server.log).map_err(Failure::usage)?;
            tails.push(LogTail {
                name: server.name.clone(),
                file,
            });
        }
    }
    let prefix = tails.len() > 1;
    let mut out = StdoutWriter::new();
    for tail in &mut tails {
        let text = tail.new_lines()?;
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(args.lines);
        tail.print(&lines[from..], prefix, &mut out)?;
    }
    while args.follow && out.is_open() {
        tokio::select! {
            () = cancel.cancelled() => return Ok(ExitCode::from(exit::INTERRUPTED)),
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
        }
        for tail in &mut tails {
            let text = tail.new_lines()?;
            tail.print(&text.lines().collect::<Vec<_>>(), prefix, &mut out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl LogTail {
    /// The complete lines written since the last call.
    fn new_lines(&mut self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(Failure::usage)?;
        let complete = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let back = i64::try_from(bytes.len() - complete).unwrap_or(0);
        self.file
            .seek(SeekFrom::Current(-back))
            .map_err(Failure::usage)?;
        Ok(String::from_utf8_lossy(&bytes[..complete]).into_owned())
    }

    fn print(&self, lines: &[&str], prefix: bool, out: &mut StdoutWriter) -> Result<(), Failure> {
        for line in lines {
            if prefix {
                out.line(format_args!("{:<8} {} {line}", self.name, style("|").dim()))?;
            } else {
                out.line(line)?;
            }
        }
        Ok(())
    }
}
