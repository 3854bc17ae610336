//! The user that a server runs as: PostgreSQL refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::StackError;

/// The user PostgreSQL runs as when we are root: it refuses to be root itself.
pub(crate) const NOBODY: u32 = 65_534;

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Every folder on the way must let others through.
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

/// Drops root for a program that refuses it.
pub(crate) fn drop_root(command: &mut Command, never_root: bool) {
    if never_root && is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}
