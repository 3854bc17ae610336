//! The cache folder: artifacts fetched once, instances of stacks, the stack that is kept.

use std::fs::File;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::error::StackError;
use crate::user::{is_root, reachable_by_others};

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
    pub(crate) fn at(path: &Path) -> Self {
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
    pub(crate) fn lock_file(&self, name: &str) -> Result<File, StackError> {
        let path = self.path(name);
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StackError::io("open", path))
    }
}
