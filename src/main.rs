//! `cdc-bench`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    cdc_bench::cli::main()
}
