//! The user that a server runs as: PostgreSQL refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::StackError;

/// The user id PostgreSQL runs as when we are root.
pub(crate) const NOBODY: u32 = 65_534;

/// Whether our effective user is root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Checks that every folder on the path is searchable by other users.
pub(crate) fn reachable_by_others(path: &Path) -> Result<(), StackError> {
    for folder in path.ancestors() {
        let meta = std::fs::metadata(folder).map_err(StackError::io("look at", folder))?;
        if meta.mode() & 0o001 == 0 && meta.uid() != NOBODY {
            return Err(StackError::Usage(format!(
                "{} lets no other user through, but PostgreSQL, which refuses to run as root, must reach {}; set CDC_BENCH_CACHE_DIR to a folder such as /var/cache/cdc-bench",
                folder.display(),
                path.display()
            )));
        }
    }
    Ok(())
}

/// Runs the command as `nobody` if we are root and it must not be.
pub(crate) fn drop_root(command: &mut Command, never_root: bool) {
    if never_root && is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}
