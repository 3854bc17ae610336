//! Programs of other people's: Java's from Maven, the store.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::super::stack::TestStack;
use super::super::stack::processes::{id, signal};

/// A process that is ended when it is dropped.
pub struct Process(Child);

impl Process {
    /// Starts it; what it says goes into a file.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        signal(id(&self.0), Signal::SIGKILL);
        drop(self.0.wait());
    }
}

/// The command line of one of the stack's servers.
pub fn command_line(stack: &TestStack, server: &str) -> Vec<String> {
    let pid = stack.server(server)["pid"].as_i64().unwrap();
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    line.split('\0')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Copies an artifact of Maven's, as `group:artifact:version:type:classifier`, into a folder.
pub fn fetch(artifact: &str, folder: &Path) {
    let fetched = Command::new("mvn")
        .args(["-q", "dependency:copy"])
        .arg(format!("-Dartifact={artifact}"))
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .status();
    assert!(fetched.unwrap().success(), "{artifact}");
}

/// Copies an artifact with everything that it needs into a folder.
pub fn fetch_with_dependencies(artifact: &str, folder: &Path) {
    let [group, name, version] = artifact.split(':').collect::<Vec<_>>()[..] else {
        panic!("{artifact}");
    };
    let pom = folder.with_extension("pom.xml");
    let text = format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>test</artifactId><version>1</version>\
         <dependencies><dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency></dependencies></project>"
    );
    std::fs::write(&pom, text).unwrap();
    let fetched = Command::new("mvn")
        .args(["-q", "-f"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .status();
    assert!(fetched.unwrap().success(), "{artifact}");
}

/// A Java of at least version 21, which Apicurio's registry needs.
pub fn recent_java() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten();
    let programs = installed
        .flatten()
        .map(|entry| entry.path().join("bin/java"));
    let is_recent = |java: &PathBuf| {
        let said = Command::new(java).arg("--version").output();
        let said = said.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
        let version = said.unwrap_or_default();
        let number = version.split_whitespace().nth(1).unwrap_or_default();
        let major = number.split('.').next().unwrap_or_default().parse::<u32>();
        major.is_ok_and(|major| major >= 21)
    };
    let mut programs = programs.filter(is_recent);
    programs
        .next()
        .expect("a Java of version 21 or later in /usr/lib/jvm")
}
