//! `cleanup`: removes from external servers what the ledger says was made.

use std::process::ExitCode;

use crate::config::Settings;
use crate::pipeline::{Failure, Servers, remove_everything};

pub(super) async fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    let Some(endpoints) = &settings.endpoints else {
        println!(
            "nothing to do: a local stack is removed with its run (give endpoints to clean up external servers)"
        );
        return Ok(ExitCode::SUCCESS);
    };
    let servers = Servers::connect(endpoints).await?;
    println!("{}", remove_everything(&servers).await?);
    Ok(ExitCode::SUCCESS)
}
