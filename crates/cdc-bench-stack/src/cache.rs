//! The cache folder: fetched artifacts, folders of running stacks, the kept stack.

use std::fs::File;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::error::StackError;
use crate::user::{is_root, reachable_by_others};

/// The cache folder, and the folder that holds the folders of stacks.
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
    /// When it cannot be created, or PostgreSQL's user cannot reach it.
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

    /// `CDC_BENCH_STATE_DIR`, or a folder in the cache. Setting it makes a read-only cache that another user has filled
    /// usable.
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

    /// A path in the cache folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder that holds the folders of stacks.
    #[must_use]
    pub fn stacks(&self) -> PathBuf {
        self.stacks.clone()
    }

    /// A lock file in the cache folder, open but not locked.
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
