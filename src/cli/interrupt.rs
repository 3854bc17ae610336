//! Ctrl-C and SIGTERM: the first ends the work and cleans up, the second ends the program.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::print_error_line;
use super::progress::Terminal;

/// A token that is cancelled by the first signal.
pub(super) fn watch(terminal: &Terminal) -> CancellationToken {
    let token = CancellationToken::new();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        match signal(kind) {
            Ok(mut signals) => {
                let (token, terminal) = (token.clone(), terminal.clone());
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        if token.is_cancelled() {
                            crate::dashboard::restore();
                            print_error_line(
                                "interrupted again: leaving at once; \"cdc-bench cleanup\" removes what is left on external servers",
                            );
                            // Children are ended by the kernel with us.
                            std::process::exit(130);
                        }
                        super::logging::begin_shutdown();
                        terminal.say("interrupted: cleaning up (once more to leave at once)");
                        token.cancel();
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "cannot watch for signals"),
        }
    }
    token
}
