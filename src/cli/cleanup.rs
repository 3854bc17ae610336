//! `cleanup`: removes from servers what the ledger says was made.

use std::process::ExitCode;

use crate::config::Settings;
use crate::pipeline::{Failure, Servers, remove_everything};

pub(super) async fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    let servers = Servers::at_hand(settings).await?;
    println!("{}", remove_everything(&servers).await?);
    Ok(ExitCode::SUCCESS)
}
