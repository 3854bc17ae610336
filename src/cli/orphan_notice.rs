//! Tells what dead runs have left on the servers that a command uses, beside the command's work.

use std::path::Path;
use std::sync::Mutex;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::progress::Terminal;
use super::results_args::RESULTS;
use crate::pipeline::{RunParameters, orphan_notice};
use crate::settings::Settings;

/// The question that is under way, at most one a command.
#[derive(Default)]
pub(super) struct OrphanNotice(Mutex<Option<JoinHandle<()>>>);

impl OrphanNotice {
    /// Asks PostgreSQL, if it is known, and says what it finds. Nobody waits for it.
    pub(super) fn begin(&self, settings: &Settings, terminal: &Terminal) {
        let running = cdc_bench_stack::running_endpoints(&settings.servers());
        let Ok(postgres) = running.map(|given| given.postgres()) else {
            return;
        };
        let Ok(postgres) = postgres else {
            return;
        };
        let terminal = terminal.clone();
        let asking = tokio::spawn(async move {
            let can_go_on = |run: &str| RunParameters::are_left_in(&Path::new(RESULTS).join(run));
            for line in orphan_notice(&postgres, &can_go_on).await {
                terminal.say(&line);
            }
        });
        let mut begun = self.0.lock().unwrap_or_else(|error| error.into_inner());
        *begun = Some(asking);
    }

    /// Lets the answer come that a short command would not wait for: it has a limit of its own.
    pub(super) async fn finish(self, cancel: &CancellationToken) {
        let begun = self.0.into_inner();
        let Some(mut asking) = begun.unwrap_or_else(|error| error.into_inner()) else {
            return;
        };
        tokio::select! {
            // However it has ended.
            _ = &mut asking => {}
            () = cancel.cancelled() => asking.abort(),
        }
    }
}
