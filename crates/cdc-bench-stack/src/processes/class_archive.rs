//! Class archives: what a server's JVM had loaded when it ended in order, for the next one to map into its memory. That one
//! need not read, parse and verify some thousands of classes, which is about half the processor time of a start.
//!
//! Source: JEP 350, "Dynamic CDS Archives", and the `java` command's manual on class data sharing.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use crate::cache::Cache;

/// What a JVM may take to write one, on a busy machine.
pub(crate) const WRITE_LIMIT: Duration = Duration::from_secs(12);

/// Where a server's archive is, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClassArchive {
    /// There is none, and none will be.
    Unused,
    /// An earlier JVM's.
    Kept(PathBuf),
    /// This JVM will write one.
    New(NewArchive),
}

/// An archive that a JVM writes when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewArchive {
    /// Where.
    written: PathBuf,
    /// Where the next one looks for it.
    kept: PathBuf,
}

impl ClassArchive {
    /// For a server with these jars on a JVM of this build; `folder` goes with its stack.
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

    /// The JVM's flag for it. One that does not fit after all is passed over (`-Xshare:auto`).
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

    /// The same for a JVM that is to leave none.
    pub fn if_existing(self) -> Self {
        match self {
            Self::New(_) => Self::Unused,
            archive => archive,
        }
    }

    /// What the JVM is to leave.
    pub fn into_new(self) -> Option<NewArchive> {
        match self {
            Self::New(new) => Some(new),
            Self::Unused | Self::Kept(_) => None,
        }
    }
}

impl NewArchive {
    /// Keeps what the JVM has written, in place of those for what its server was before. Without one the next start is as
    /// slow as this was, and tries again.
    pub fn keep(&self) {
        if let Err(error) = self.try_keep() {
            tracing::debug!(%error, archive = %self.kept.display(), "no class archive is kept");
        }
    }

    fn try_keep(&self) -> io::Result<()> {
        let partial = self.kept.with_extension(std::process::id().to_string());
        let folder = self.kept.parent().unwrap_or(&self.kept);
        fs::create_dir_all(folder)?;
        // A rename alone cannot leave half a file there, and does not reach from one file system to another.
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

/// Another whenever the JVM would refuse the archive: it holds for the build it was made with and for the very same jars.
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
