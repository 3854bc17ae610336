//! The folder of results, shared by all commands that create or read results.

use std::path::PathBuf;

use super::logging;
use crate::pipeline::Failure;
use cdc_bench_model::RunId;
use cdc_bench_model::report::ResultFolder;

/// The folder of results where nothing else is said.
pub(super) const RESULTS: &str = "cdc-bench-results";

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ResultsArgs {
    /// Folder that has a folder of results a run
    #[arg(long, value_name = "DIR", default_value = RESULTS)]
    pub(super) results_dir: PathBuf,
}

impl ResultsArgs {
    /// Creates a result: its id, and its folder, which receives the log from now on.
    pub(super) fn create(&self) -> Result<(RunId, ResultFolder), Failure> {
        let id = RunId::generate();
        let folder = ResultFolder::create(&self.results_dir, id.as_str())?;
        let log = folder.create_file("run.log")?;
        logging::into_file(log).map_err(Failure::usage)?;
        Ok((id, folder))
    }
}

impl ResultsArgs {
    /// The folder of a run that is taken up on this machine or on another one; it receives the log from now on.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn open(&self, run: &RunId) -> Result<ResultFolder, Failure> {
        let folder = ResultFolder::create(&self.results_dir, run.as_str())?;
        logging::into_file(folder.append_to("run.log")?).map_err(Failure::usage)?;
        Ok(folder)
    }

    /// The folder of a run that has no result yet, which receives the log from now on.
    ///
    /// # Errors
    /// When there is none, or it has its result.
    pub(super) fn reopen(&self, run: &RunId) -> Result<ResultFolder, Failure> {
        let path = self.results_dir.join(run.as_str());
        let refused = |why: String| Failure::usage(anyhow::anyhow!("{why}"));
        if !path.is_dir() {
            return Err(refused(format!(
                "run {run} has no folder in {}: say where its results are (--results-dir), on the machine that it ran on",
                self.results_dir.display()
            )));
        }
        if path.join("report.json").exists() {
            return Err(refused(format!(
                "run {run} has ended and has its result: \"cdc-bench report {}\" shows it; if something of it is left on servers, \"cdc-bench cleanup --run {run}\" removes that",
                path.display()
            )));
        }
        self.open(run)
    }
}

/// Ends a command without a result: logs the reason, and removes the folder if it is empty.
pub(super) fn discard_result(folder: &ResultFolder, failure: Failure) -> Failure {
    tracing::info!(%failure, "there is no result");
    logging::finish();
    folder.discard_if_empty();
    failure
}
