//! Servers that were just started are slow, Connect's JVM above all: what is measured first would be held against them.

use super::within::Within;
use super::{Failure, RunProgress, RunRequest, run_on};
use crate::config::RunId;
use crate::load::{Limit, Rate};
use crate::report::ResultFolder;
use crate::stack::Stack;
use tokio_util::sync::CancellationToken;

/// As many events as this many warm-ups of a run.
const WARM_UPS: u64 = 5;

/// One run of all paths of which nothing is kept; none where runs have no warm-up.
pub(super) async fn warm(
    template: &RunRequest,
    rate: Rate,
    stack: &Stack,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    if template.warmup == 0 {
        return Ok(());
    }
    let folder = ResultFolder::create(template.folder.path(), "warm-up")?;
    let run = RunRequest {
        id: RunId::generate(),
        limit: Limit::Events(template.warmup * WARM_UPS),
        rate,
        folder,
        ..template.clone()
    };
    let step = "warming the servers up";
    let inner = Within::enter(progress, step);
    let outcome = run_on(&run, stack, &inner, cancel).await;
    // Its files tell nothing, whether or not they go.
    let _ = std::fs::remove_dir_all(run.folder.path());
    outcome?;
    progress.end(step, "one run that does not count");
    Ok(())
}
