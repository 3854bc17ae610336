//! Where results are: the same for every command that makes or reads them.

use std::path::PathBuf;

use super::logging;
use crate::pipeline::Failure;
use cdc_bench_model::RunId;
use cdc_bench_model::report::ResultFolder;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ResultsArgs {
    /// Folder that has a folder of results a run
    #[arg(long, value_name = "DIR", default_value = "cdc-bench-results")]
    pub(super) results_dir: PathBuf,
}

impl ResultsArgs {
    /// A new result: its name, and its folder, which takes the log from here on.
    pub(super) fn begin(&self) -> Result<(RunId, ResultFolder), Failure> {
        let id = RunId::generate();
        let folder = ResultFolder::create(&self.results_dir, id.as_str())?;
        let log = folder.create_file("run.log")?;
        logging::into_file(log).map_err(Failure::usage)?;
        Ok((id, folder))
    }
}

/// There is no result: the log says why, and an empty folder does not stay.
pub(super) fn without_result(folder: &ResultFolder, failure: Failure) -> Failure {
    tracing::info!(%failure, "there is no result");
    logging::finish();
    folder.discard_if_empty();
    failure
}
