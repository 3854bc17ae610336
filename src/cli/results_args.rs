//! Where results are: the same for every command that makes or reads them.

use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ResultsArgs {
    /// Folder that has a folder of results a run
    #[arg(long, value_name = "DIR", default_value = "cdc-bench-results")]
    pub(super) results_dir: PathBuf,
}
