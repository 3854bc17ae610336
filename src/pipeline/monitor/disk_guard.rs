//! The guard of the room on the disks that a run writes to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;

use crate::pipeline::failure::Failure;

/// Interval of its looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Watches the disk of each folder.
#[derive(Debug, Clone)]
pub(crate) struct DiskGuard {
    folders: Vec<PathBuf>,
    /// Bytes that are left free.
    least: u64,
}

impl DiskGuard {
    /// Leaves so many bytes free on the disks of these folders.
    pub(crate) fn new(folders: Vec<PathBuf>, least: u64) -> Self {
        Self { folders, least }
    }

    /// Looks once.
    ///
    /// # Errors
    /// When one of the disks has less room. A disk that does not say how much it has is taken for large enough.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let room = self.folders.iter().map(|folder| (folder, free_on(folder)));
        for (folder, free) in room {
            if let Some(free) = free.filter(|free| *free < self.least) {
                return Err(Failure::usage(anyhow::anyhow!(
                    "the disk of {} has {} MiB left, and {} MiB are to stay free (--min-free-disk): free some, let results go to another with --results-dir, or allow less",
                    folder.display(),
                    free >> 20,
                    self.least >> 20
                )));
            }
        }
        Ok(())
    }

    /// Watches until one of the disks has less room.
    pub(crate) async fn watch(&self) -> Failure {
        let mut turns = tokio::time::interval(INTERVAL);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            if let Err(full) = self.check() {
                return full;
            }
        }
    }
}

/// Bytes that an ordinary user may still write to the disk of a folder.
fn free_on(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder)
        .inspect_err(
            |error| tracing::debug!(%error, folder = %folder.display(), "room is not known"),
        )
        .ok()?;
    // As wide as they are on this system.
    let free = u128::from(disk.blocks_available()) * u128::from(disk.fragment_size());
    u64::try_from(free).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_less_room_than_asked_for_is_named_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let folders = vec![folder.path().to_owned()];
        assert!(DiskGuard::new(folders.clone(), 1).check().is_ok());
        let full = DiskGuard::new(folders, u64::MAX).check().unwrap_err();
        assert_eq!(full.exit_code(), 2);
        let full = full.to_string();
        let name = folder.path().display().to_string();
        for part in [&*name, "--min-free-disk", "--results-dir"] {
            assert!(full.contains(part), "{part}: {full}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_reason_to_stop() {
        let guard = DiskGuard::new(vec![PathBuf::from("/nowhere/at/all")], u64::MAX);
        assert!(guard.check().is_ok());
    }
}
