//! `cleanup`: removes from servers what the ledger says was made.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::progress::Terminal;
use crate::config::Settings;
use crate::pipeline::{Failure, Servers, remove_everything};
use crate::stack::Progress;

pub(super) async fn run(
    settings: &Settings,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let servers = Servers::at_hand(settings).await?;
    progress.begin("clean-up");
    let removal = tokio::select! {
        () = cancel.cancelled() => Err(Failure::interrupted().context(
            "what is left is in the ledger still: \"cdc-bench cleanup\" goes on with it",
        )),
        removal = remove_everything(&servers, progress) => removal,
    }?;
    progress.clear();
    println!("{removal}");
    Ok(ExitCode::SUCCESS)
}
