//! The folder of one local stack: locked while its owner lives, removed by the next start after its owner was killed.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::docker;
use crate::error::StackError;
use crate::files::make_dir;

/// The lock file. It holds the owner's process id.
const LOCK: &str = "lock";
/// The lock file of the folder that holds the folders of stacks.
const MAKING: &str = "making.lock";
/// Longest time the removal of a folder may take.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(3);

/// A stack's folder, owned by this process; removed on drop.
#[derive(Debug)]
pub(crate) struct Instance {
    folder: PathBuf,
    /// Held while the stack runs.
    _lock: File,
}

impl Instance {
    /// A folder with a unique name, for a stack that ends with its run.
    pub(crate) fn fresh(cache: &Cache) -> Result<Self, StackError> {
        Self::named(cache, &uuid::Uuid::now_v7().simple().to_string())
    }

    /// The folder of this name; an error if another process owns it.
    pub(crate) fn named(cache: &Cache, name: &str) -> Result<Self, StackError> {
        let parent = cache.stacks();
        make_dir(&parent, 0o755)?;
        let making = parent.join(MAKING);
        // Held so that no other process sweeps a folder before it is locked.
        let guard = open_lock(&making)?;
        guard.lock().map_err(StackError::io("lock", &making))?;
        for folder in sweep(&parent) {
            tracing::warn!(folder = %folder.display(), "removed what a stack had left whose program was killed");
        }
        let folder = parent.join(name);
        make_dir(&folder, 0o755)?;
        let path = folder.join(LOCK);
        let mut lock = open_lock(&path)?;
        lock.try_lock().map_err(|_| {
            StackError::NotUp(format!(
                "a stack is up, or being started, in {}",
                folder.display()
            ))
        })?;
        let told = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()));
        told.map_err(StackError::io("write", &path))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let began = Instant::now();
        // A killed program may still be writing: retry. A folder that remains is removed by the next start.
        while remove(&self.folder).is_err() && began.elapsed() < REMOVAL_PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Removes a folder, its lock file last, so that a process that gets the lock finds an empty folder.
fn remove(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == LOCK {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_dir_all(folder)
}

/// The process that owns the folder, if it is alive.
pub(crate) fn owner(folder: &Path) -> Option<u32> {
    let path = folder.join(LOCK);
    let lock = File::options().read(true).open(&path).ok()?;
    if lock.try_lock_shared().is_ok() {
        return None;
    }
    std::fs::read_to_string(&path).ok()?.trim().parse().ok()
}

fn open_lock(path: &Path) -> Result<File, StackError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(StackError::io("open", path))
}

/// The folders of stacks whose program was killed: removed with what is in them, or, with `is_dry_run`, only named.
///
/// # Errors
/// When the folder of stacks cannot be used.
pub fn sweep_stacks(cache: &Cache, is_dry_run: bool) -> Result<Vec<PathBuf>, StackError> {
    let parent = cache.stacks();
    make_dir(&parent, 0o755)?;
    let making = parent.join(MAKING);
    let guard = open_lock(&making)?;
    guard.lock().map_err(StackError::io("lock", &making))?;
    Ok(if is_dry_run {
        let dead = dead(&parent).into_iter();
        dead.map(|(folder, _)| folder).collect()
    } else {
        sweep(&parent)
    })
}

/// Removes the folders of stacks whose owner has ended. The kernel has ended their servers with it.
fn sweep(parent: &Path) -> Vec<PathBuf> {
    let mut swept = Vec::new();
    for (folder, _lock) in dead(parent) {
        if docker::sweep(&folder) && remove(&folder).is_ok() {
            swept.push(folder);
        }
    }
    swept
}

/// The folders of stacks whose owner has ended, each with its lock.
fn dead(parent: &Path) -> Vec<(PathBuf, File)> {
    let folders = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let dead = folders.filter_map(|folder| {
        let path = folder.path();
        let lock = File::options().write(true).open(path.join(LOCK)).ok()?;
        lock.try_lock().ok()?;
        Some((path, lock))
    });
    dead.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_its_owner_and_is_swept_after_it() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::at(home.path());
        let kept = Instance::named(&cache, "kept").unwrap();
        let folder = kept.folder().to_owned();
        assert_eq!(owner(&folder), Some(std::process::id()));
        assert!(Instance::named(&cache, "kept").is_err(), "it is taken");
        let other = Instance::fresh(&cache).unwrap();
        assert_ne!(other.folder(), folder);
        drop(kept);
        assert_eq!(owner(&folder), None);

        // One that was killed: its folder is there, its lock is free.
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(LOCK), "1").unwrap();
        assert_eq!(owner(&folder), None);
        assert_eq!(
            sweep_stacks(&cache, true).unwrap(),
            std::slice::from_ref(&folder)
        );
        assert!(folder.exists(), "only named");
        let third = Instance::fresh(&cache).unwrap();
        assert!(!folder.exists(), "swept");
        assert!(other.folder().exists() && third.folder().exists());
    }
}
