//! The argument for the dashboard, shared by all commands that make runs.

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ScreenArgs {
    /// No dashboard: progress bars alone
    #[arg(long)]
    no_tui: bool,
}

impl ScreenArgs {
    /// Whether to show the dashboard if the terminal allows it.
    pub(super) fn wants_screen(&self) -> bool {
        !self.no_tui
    }
}
