//! Java as it is found, and how servers and tools run on it.

use std::path::PathBuf;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::artifacts::APT;
use crate::error::StackError;
use crate::files::on_path;

/// The oldest that Kafka 4 runs on.
const OLDEST: u32 = 17;

/// The Java installation that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Java {
    pub(crate) path: PathBuf,
    /// Its version.
    pub(crate) major: u32,
    /// The JVM's build, if it supports class data sharing.
    pub(super) sharing: Option<String>,
}

impl Java {
    /// Finds Java; an error if it is missing or too old.
    pub(crate) async fn require(cancel: &CancellationToken) -> Result<Self, StackError> {
        let missing = |what: String| {
            Err(StackError::MissingPrerequisite {
                what,
                advice: APT.to_owned(),
            })
        };
        tokio::select! {
            () = cancel.cancelled() => Err(StackError::Cancelled),
            java = Self::find() => match java {
                Some(java) if java.major >= OLDEST => Ok(java),
                Some(Self { path, major, .. }) => missing(format!("Java {OLDEST} or later ({} is Java {major})", path.display())),
                None => missing(format!("Java {OLDEST} or later (java)")),
            },
        }
    }

    async fn find() -> Option<Self> {
        let path = on_path("java")?;
        let output = Command::new(&path).arg("-version").output().await.ok()?;
        Self::read(path, &String::from_utf8_lossy(&output.stderr))
    }

    fn read(path: PathBuf, output: &str) -> Option<Self> {
        // openjdk version "17.0.15" 2025-04-15
        let quoted = output.split('"').nth(1)?;
        let major = quoted.split(['.', '-', '+']).next()?.parse().ok()?;
        // OpenJDK 64-Bit Server VM (build 17.0.15+6-Debian-1deb12u1, mixed mode, sharing)
        let vm = output.lines().find(|line| line.ends_with(", sharing)"));
        // How it compiles depends on JAVA_TOOL_OPTIONS and is nothing to an archive of classes.
        let vm = vm.and_then(|line| line.split(", ").next());
        Some(Self {
            path,
            major,
            sharing: vm.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_says_what_it_is() {
        let read = |output| Java::read(PathBuf::from("java"), output).unwrap();
        let openjdk = read(
            "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)\n\
             OpenJDK 64-Bit Server VM (build 17.0.15+6, mixed mode, sharing)\n",
        );
        assert_eq!(openjdk.major, 17);
        assert!(
            openjdk
                .sharing
                .as_ref()
                .is_some_and(|vm| vm.contains("build 17.0.15+6"))
        );
        let quick = read(
            "Picked up JAVA_TOOL_OPTIONS: -XX:TieredStopAtLevel=1\nopenjdk version \"17.0.15\" 2025-04-15\n\
             OpenJDK 64-Bit Server VM (build 17.0.15+6, mixed mode, emulated-client, sharing)\n",
        );
        assert_eq!(quick.sharing, openjdk.sharing);
        let other = read("openjdk version \"21-ea\"\nEclipse OpenJ9 VM (build x, JRE 21)\n");
        assert_eq!((other.major, other.sharing), (21, None));
    }
}
