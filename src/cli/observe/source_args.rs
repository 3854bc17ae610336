//! Arguments for the source of an observation.

use crate::observe::LinesSource;

/// What may be made in the source database, and what is said of its statements.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ObserveSourceArgs {
    /// Make a publication of the observed tables, and remove it at the end; needs their ownership, and CREATE on the database
    #[arg(long, conflicts_with = "publication")]
    pub(super) make_publication: bool,
    /// JSON lines in which your application says when it sent its statements, so that a change's way begins there: a file that
    /// grows, - for standard input, unix:PATH for a socket that is made, or topic:NAME
    #[arg(long, value_name = "SOURCE")]
    pub(super) lines_source: Option<LinesSource>,
}
