//! Arguments for the source of an observation.

/// What may be made in the source database.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ObserveSourceArgs {
    /// Make a publication of the observed tables, and remove it at the end; needs their ownership, and CREATE on the database
    #[arg(long, conflicts_with = "publication")]
    pub(super) make_publication: bool,
}
