//! What the programs share: the reader's configuration, the end, the warnings.

use anyhow::Context;
use pgcdc::{ReaderConfig, Server, Slot, SlotName};

/// Publication of the outbox.
const PUBLICATION: &str = "outbox";

/// A reader of publication `outbox` at `DATABASE_URL`, from a slot of this name that outlives the program.
///
/// # Errors
/// When `DATABASE_URL` is not set or is no URL of PostgreSQL, or the name is none of a slot.
pub fn outbox_reader(slot: &str) -> anyhow::Result<ReaderConfig> {
    let url = std::env::var("DATABASE_URL")
        .context("DATABASE_URL is to be set: postgres://user:password@host:5432/database")?;
    let slot = Slot::Permanent {
        name: SlotName::new(slot)?,
        failover: false,
    };
    Ok(ReaderConfig::new(
        Server::from_url(&url)?,
        slot,
        [PUBLICATION],
    ))
}

/// Ready when the user ends the program. Without it a program that is killed loses nothing, but delivers more of it again.
pub async fn ctrl_c() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "Ctrl-C is not noticed: end the program by a signal");
        std::future::pending::<()>().await;
    }
}

/// Writes the warnings of reader and delivery, such as attempts that failed, to standard error.
pub fn show_warnings() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .init();
}
