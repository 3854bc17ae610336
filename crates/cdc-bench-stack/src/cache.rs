//! The cache folder: artifacts fetched once, instances of stacks, the stack that is kept.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::StackError;

/// The user PostgreSQL runs as when we are root: it refuses to be root itself.
pub(super) const NOBODY: u32 = 65_534;

/// The cache folder, and beside or in it the folder where stacks live.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
    stacks: PathBuf,
}

impl Cache {
    /// `CDC_BENCH_CACHE_DIR`, or the system's place for caches. Root's is `/var/cache/cdc-bench`: PostgreSQL, which then
    /// runs as another user, must be able to reach its binaries.
    ///
    /// # Errors
    /// When it cannot be made, or not be reached by PostgreSQL's user.
    pub fn open() -> Result<Self, StackError> {
        let path = Self::locate()?;
        std::fs::create_dir_all(&path).map_err(StackError::io("make the cache folder", &path))?;
        let path = path
            .canonicalize()
            .map_err(StackError::io("use the cache folder", &path))?;
        if is_root() {
            reachable_by_others(&path)?;
        }
        let stacks = Self::locate_stacks(&path)?;
        Ok(Self { path, stacks })
    }

    /// `CDC_BENCH_STATE_DIR`, or a folder in the cache. With it, a cache that somebody else has filled can be used
    /// though it cannot be written to.
    fn locate_stacks(cache: &Path) -> Result<PathBuf, StackError> {
        let Some(path) = std::env::var_os("CDC_BENCH_STATE_DIR").filter(|path| !path.is_empty())
        else {
            return Ok(cache.join("stacks"));
        };
        let path = PathBuf::from(path);
        std::fs::create_dir_all(&path).map_err(StackError::io("make the state folder", &path))?;
        let path = path
            .canonicalize()
            .map_err(StackError::io("use the state folder", &path))?;
        if is_root() {
            reachable_by_others(&path)?;
        }
        Ok(path)
    }

    #[cfg(test)]
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            stacks: path.join("stacks"),
        }
    }

    fn locate() -> Result<PathBuf, StackError> {
        if let Some(path) = std::env::var_os("CDC_BENCH_CACHE_DIR").filter(|path| !path.is_empty())
        {
            return Ok(path.into());
        }
        if is_root() && std::env::var_os("XDG_CACHE_HOME").is_none() {
            return Ok("/var/cache/cdc-bench".into());
        }
        let strategy = etcetera::choose_base_strategy();
        let base = strategy.map_err(|e| {
            StackError::Usage(format!("no cache folder: {e}; set CDC_BENCH_CACHE_DIR"))
        })?;
        Ok(base.cache_dir().join("cdc-bench"))
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where stacks live.
    #[must_use]
    pub fn stacks(&self) -> PathBuf {
        self.stacks.clone()
    }

    /// A lock file in it, opened and not yet locked.
    pub(super) fn lock_file(&self, name: &str) -> Result<File, StackError> {
        let path = self.path(name);
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StackError::io("open", path))
    }
}

/// Whether we are root.
pub(super) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Every folder on the way must let others through.
fn reachable_by_others(path: &Path) -> Result<(), StackError> {
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

/// Makes a folder that only we can look into, or that others can pass.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<(), StackError> {
    std::fs::create_dir_all(path).map_err(StackError::io("make", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(StackError::io("set permissions of", path))
}

/// Writes a file that only we can read.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), StackError> {
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
