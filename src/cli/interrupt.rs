//! Ctrl-C and SIGTERM: the first ends the work and cleans up, another one later ends the program.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::{SelectAll, poll_fn};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::print_error_line;
use super::progress::Terminal;

/// Signals within this time are one: `timeout` sends its to the process and again to its group, and a terminal that is closed hangs up
/// on a shell that hangs up in turn. Only a person repeats himself later.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

/// How long the clean-up may take that the first signal begins.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(8);

/// How long the program may take to end after that, before it is ended whatever it does.
const LEAVING_LIMIT: Duration = Duration::from_millis(1_800);

/// Returns when the clean-up has had its time, and what the user lets it take besides.
pub(super) async fn clean_up_is_over(cancel: &CancellationToken, besides: Duration) {
    cancel.cancelled().await;
    tokio::time::sleep(CLEAN_UP_LIMIT + besides).await;
}

/// A token that is cancelled by the first signal. `besides`: what the user lets a clean-up take longer.
pub(super) fn watch(terminal: &Terminal, besides: Duration) -> CancellationToken {
    let token = CancellationToken::new();
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let mut signals = SelectAll::new();
    for kind in kinds {
        match signal(kind) {
            Ok(mut arriving) => signals.push(poll_fn(move |context| arriving.poll_recv(context))),
            Err(error) => tracing::warn!(%error, "cannot watch for signals"),
        }
    }
    let (cancelled, terminal) = (token.clone(), terminal.clone());
    tokio::spawn(async move {
        if signals.next().await.is_none() {
            return;
        }
        let first = Instant::now();
        super::logging::begin_shutdown();
        terminal.say("interrupted: cleaning up (once more to leave at once)");
        cancelled.cancel();
        let is_stuck = tokio::time::sleep(CLEAN_UP_LIMIT + besides + LEAVING_LIMIT);
        tokio::pin!(is_stuck);
        let why = loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Some(()) if first.elapsed() >= ONE_SIGNAL => break "interrupted again",
                    Some(()) => {}
                    None => return,
                },
                () = &mut is_stuck => break "the clean-up does not end",
            }
        };
        crate::dashboard::restore();
        print_error_line(format_args!(
            "{why}: leaving at once; \"cdc-bench cleanup\" removes what is left on external servers",
        ));
        // Children are ended by the kernel with us.
        std::process::exit(130);
    });
    token
}
