//! Files and folders as servers need them: with their permissions, removed where they exist, found on PATH.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::StackError;

/// Creates a folder with these permissions.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), StackError> {
    std::fs::create_dir_all(path).map_err(StackError::io("make", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(StackError::io("set permissions of", path))
}

/// Writes a file that only our user can read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), StackError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(content))
        .map_err(StackError::io("write", path))
}

/// Removes a folder and everything in it; one that does not exist is no error.
pub(crate) fn remove(folder: &Path) -> Result<(), StackError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StackError::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Finds a program on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(executable)
}
