//! Whether a run is shown on the dashboard: the same flag wherever runs are made.

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ScreenArgs {
    /// No dashboard: progress bars alone
    #[arg(long)]
    no_tui: bool,
}

impl ScreenArgs {
    /// Whether there is to be one, where there is a terminal for it.
    pub(super) fn wants_screen(&self) -> bool {
        !self.no_tui
    }
}
