//! PostgreSQL's programs, unpacked from the jar that contains them.

use std::path::{Path, PathBuf};

use super::manifest::{sums, version};
use crate::background::ProgressReporter;
use crate::cache::Cache;
use crate::error::StackError;
use crate::files::remove;

pub(crate) fn postgres_folder(cache: &Cache) -> PathBuf {
    cache.path(&format!("postgresql-{}", version::postgres()))
}

/// Unpacks PostgreSQL once. Called with the artifacts' lock held.
pub(crate) fn unpack_postgres(
    cache: &Cache,
    reporter: &ProgressReporter,
) -> Result<(), StackError> {
    let folder = postgres_folder(cache);
    if folder.join("bin/postgres").exists() {
        return Ok(());
    }
    reporter.detail("unpacking PostgreSQL");
    let fresh = cache.path(".unpack-postgresql");
    remove(&fresh)?;
    let sums = sums("postgres")?;
    let jar = sums
        .keys()
        .next()
        .map(|jar| cache.path("artifacts/postgres").join(jar))
        .unwrap_or_default();
    unpack(&jar, &fresh).map_err(|reason| StackError::Artifact {
        artifact: jar.display().to_string(),
        reason,
    })?;
    remove(&folder)?;
    std::fs::rename(&fresh, &folder).map_err(StackError::io("put in place", &folder))
}

/// Unpacks a jar that contains one `.txz`.
fn unpack(jar: &Path, into: &Path) -> Result<(), String> {
    let file = std::fs::File::open(jar).map_err(|e| e.to_string())?;
    let mut jar = zip::ZipArchive::new(file).map_err(|e| e.to_string())?;
    let index = (0..jar.len())
        .find(|&index| {
            jar.by_index(index)
                .is_ok_and(|entry| entry.name().is_ok_and(|name| name.ends_with(".txz")))
        })
        .ok_or("it holds no .txz")?;
    let packed = jar.by_index(index).map_err(|e| e.to_string())?;
    let tar = lzma_rust2::XzReader::new(packed, true);
    let mut archive = tar::Archive::new(tar);
    archive.set_preserve_ownerships(false);
    archive.unpack(into).map_err(|e| e.to_string())
}
