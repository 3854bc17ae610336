//! A run without a result that warms up the servers, before the runs of a sweep or a tuning.

use cdc_bench_model::RunId;
use cdc_bench_model::report::ResultFolder;
use cdc_bench_stack::Stack;
use tokio_util::sync::CancellationToken;

use crate::load::{Limit, Rate};
use crate::pipeline::commands::run::run_on;
use crate::pipeline::failure::Failure;
use crate::pipeline::progress::{NestedProgress, RunProgress};
use crate::pipeline::request::{RunRequest, WarmUp};

/// Size of this run, as a multiple of a run's warm-up.
const WARM_UPS: u64 = 5;

/// Makes one run of all paths and discards its result; nothing if runs have no warm-up.
pub(crate) async fn warm_up_servers(
    template: &RunRequest,
    rate: Rate,
    stack: &Stack,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let events = template.warmup.events;
    if events == 0 {
        return Ok(());
    }
    let folder = ResultFolder::create(template.folder.path(), "warm-up")?;
    let run = RunRequest {
        id: RunId::generate(),
        limit: Limit::Events(events * WARM_UPS),
        rate,
        warmup: WarmUp {
            settles: true,
            ..template.warmup
        },
        folder,
        ..template.clone()
    };
    let step = "warming the servers up";
    let inner = NestedProgress::begin_step(progress, step);
    let outcome = run_on(&run, stack, &inner, cancel).await;
    // Nobody needs its files, whether or not they can be removed.
    let _ = std::fs::remove_dir_all(run.folder.path());
    outcome?.completed?;
    progress.end(step, "one run that does not count");
    Ok(())
}
