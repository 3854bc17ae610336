//! Class archives: a JVM writes its loaded classes at an orderly exit, and the next JVM of that server maps them into
//! memory. That saves reading, parsing and verifying thousands of classes, about half the processor time of a start.
//!
//! Source: JEP 350, "Dynamic CDS Archives", and the `java` command's manual on class data sharing.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use crate::cache::Cache;

/// Longest time for a JVM to write an archive, on a busy machine.
pub(crate) const WRITE_LIMIT: Duration = Duration::from_secs(12);

/// The class archive of a server, existing or to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClassArchive {
    /// No archive is used or written.
    Unused,
    /// Written by an earlier JVM.
    Kept(PathBuf),
    /// To be written by this JVM.
    New(NewArchive),
}

/// An archive that a JVM writes when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewArchive {
    /// Where.
    written: PathBuf,
    /// Where the next JVM looks for it.
    kept: PathBuf,
}

impl ClassArchive {
    /// For a server with these jars on a JVM of this build; `folder` is removed with the stack.
    pub fn of(server: &str, jvm: &str, jars: &Path, cache: &Cache, folder: &Path) -> Self {
        let Ok(name) = name(server, jvm, jars) else {
            return Self::Unused;
        };
        let kept = cache.path("classes").join(name);
        if kept.exists() {
            Self::Kept(kept)
        } else if access(&cache.path(""), AccessFlags::W_OK).is_ok() {
            let written = folder.join(format!("{server}.jsa"));
            Self::New(NewArchive { written, kept })
        } else {
            Self::Unused
        }
    }

    /// The JVM flag for it. With `-Xshare:auto` the JVM ignores an archive that does not fit.
    pub fn flag(&self) -> Option<String> {
        match self {
            Self::Unused => None,
            Self::Kept(kept) => Some(format!("-XX:SharedArchiveFile={}", kept.display())),
            Self::New(new) => Some(format!(
                "-XX:ArchiveClassesAtExit={}",
                new.written.display()
            )),
        }
    }

    /// The same without writing a new archive.
    pub fn if_existing(self) -> Self {
        match self {
            Self::New(_) => Self::Unused,
            archive => archive,
        }
    }

    /// The archive that the JVM writes, if any.
    pub fn into_new(self) -> Option<NewArchive> {
        match self {
            Self::New(new) => Some(new),
            Self::Unused | Self::Kept(_) => None,
        }
    }
}

impl NewArchive {
    /// Moves the written archive into the cache, replacing older ones of the same server. On failure the next start is
    /// as slow as this one and tries again.
    pub fn keep(&self) {
        if let Err(error) = self.try_keep() {
            tracing::debug!(%error, archive = %self.kept.display(), "no class archive is kept");
        }
    }

    fn try_keep(&self) -> io::Result<()> {
        let partial = self.kept.with_extension(std::process::id().to_string());
        let folder = self.kept.parent().unwrap_or(&self.kept);
        fs::create_dir_all(folder)?;
        // Copy, then rename: a rename is atomic but does not cross file systems.
        fs::copy(&self.written, &partial)?;
        fs::rename(&partial, &self.kept)?;
        for other in fs::read_dir(folder)? {
            let other = other?.path();
            if other != self.kept && server_of(&other) == server_of(&self.kept) {
                fs::remove_file(other)?;
            }
        }
        Ok(())
    }
}

/// The archive's file name. It depends on the JVM build and on the jars' names, sizes and times, because the JVM
/// accepts an archive for exactly these.
fn name(server: &str, jvm: &str, jars: &Path) -> io::Result<String> {
    let mut of_all = Vec::new();
    for jar in fs::read_dir(jars)? {
        let jar = jar?;
        let meta = jar.metadata()?;
        of_all.push((jar.path(), meta.len(), meta.modified()?));
    }
    of_all.sort();
    let mut hasher = DefaultHasher::new();
    (jvm, of_all).hash(&mut hasher);
    Ok(format!("{server}-{:016x}.jsa", hasher.finish()))
}

fn server_of(archive: &Path) -> Option<&str> {
    Some(archive.file_stem()?.to_str()?.rsplit_once('-')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_kept_until_the_jars_or_the_jvm_are_others() {
        let dir = tempfile::tempdir().unwrap();
        let [jars, folder] = ["jars", "stack"].map(|name| dir.path().join(name));
        fs::create_dir_all(&jars).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(jars.join("a.jar"), "a").unwrap();
        let cache = Cache::at(dir.path());
        let of = |server, jvm| ClassArchive::of(server, jvm, &jars, &cache, &folder);
        let written = |server, jvm| {
            let archive = of(server, jvm);
            let flag = archive.flag().unwrap();
            let file = flag.strip_prefix("-XX:ArchiveClassesAtExit=").unwrap();
            fs::write(file, jvm).unwrap();
            archive.into_new().unwrap().keep();
        };

        written("kafka", "17");
        written("connect", "17");
        let kept = of("kafka", "17");
        let flag = kept.flag().unwrap();
        let file = flag.strip_prefix("-XX:SharedArchiveFile=").unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "17");
        assert_eq!(kept.into_new(), None, "it is not written again");

        written("kafka", "21");
        assert!(of("kafka", "17").into_new().is_some(), "it made way");
        assert!(of("connect", "17").into_new().is_none(), "another server's");
        fs::write(jars.join("a.jar"), "ab").unwrap();
        assert!(of("connect", "17").into_new().is_some());

        // One that was not written changes nothing.
        of("kafka", "25").into_new().unwrap().keep();
        assert_eq!(fs::read_dir(cache.path("classes")).unwrap().count(), 2);
    }
}
