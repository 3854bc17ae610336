//! A server as a child process: start, stop, log.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};

use super::class_archive::{NewArchive, WRITE_LIMIT};
use super::tree::{pid, signal_tree};
use crate::error::StackError;
use crate::user::drop_root;

/// Lines at the end of a log that an error quotes.
const TAIL_LINES: usize = 15;

/// How a server is started and restarted. Contains no secret: those are in files that only our user can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerSpec {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) address: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Environment variables added to ours.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) folder: PathBuf,
    pub(crate) log: PathBuf,
    /// Whether it refuses to run as root, and so runs as `nobody` when we are root.
    pub(crate) never_root: bool,
    /// The class archive that it writes at an orderly shutdown, for the next start.
    pub(crate) new_archive: Option<NewArchive>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) spec: ServerSpec,
    process: std::process::Child,
}

impl Child {
    /// Starts the process. Call it from a thread that lives as long as the stack: the kernel kills the child when that
    /// thread ends.
    pub(crate) fn start(spec: ServerSpec) -> Result<Self, StackError> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&spec.log)
            .map_err(StackError::io("open", &spec.log))?;
        let errors = log.try_clone().map_err(StackError::io("open", &spec.log))?;
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&spec.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        drop_root(&mut command, spec.never_root);
        // Its own process group, so that Ctrl-C at the terminal reaches only us; we then stop the server in order.
        command.process_group(0);
        end_with_parent(&mut command);
        let process = command.spawn().map_err(|error| StackError::ServerFailed {
            server: spec.name.clone(),
            reason: format!("{}: {error}", spec.program.display()),
            log: String::new(),
        })?;
        Ok(Self { spec, process })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The exit status, if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.process
            .try_wait()
            .ok()
            .flatten()
            .map(|status| status.to_string())
    }

    /// An error about this server, with the end of its log.
    pub(crate) fn failure(&self, reason: impl Into<String>) -> StackError {
        StackError::ServerFailed {
            server: self.spec.name.clone(),
            reason: reason.into(),
            log: tail(&self.spec.log),
        }
    }

    /// Sends the stop signal.
    pub(crate) fn ask_to_stop(&mut self) {
        // It may have ended already.
        let _ = kill(pid(self.pid()), stop_signal(&self.spec.name));
    }

    /// Stops the process: the stop signal, then SIGKILL after `patience`. A server that writes a class archive gets
    /// more time.
    pub(crate) fn stop(mut self, patience: Duration) {
        self.ask_to_stop();
        let new_archive = self.spec.new_archive.take();
        let patience = new_archive.as_ref().map_or(patience, |_| WRITE_LIMIT);
        let began = Instant::now();
        while self.ended().is_none() && began.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = self.process.try_wait().ok().flatten();
        // A killed JVM may have left an incomplete archive.
        if status.is_some_and(|status| status.code().is_some()) {
            new_archive.iter().for_each(NewArchive::keep);
        }
        self.kill();
    }

    /// Kills the process, its descendants and its process group. A backend of PostgreSQL that somebody has stopped would not notice
    /// that its server is gone.
    pub(crate) fn kill(&mut self) {
        if self.ended().is_none() {
            signal_tree(self.pid(), Signal::SIGKILL);
            kill_group(self.pid());
            // SIGKILL has been sent, so this does not block for long.
            let _ = self.process.wait();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes the kernel kill the child when the thread that started it ends, even if our process is killed.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl(2) and getppid(2) are plain system
    // calls that allocate nothing and take no lock.
    unsafe {
        command.pre_exec(|| {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}

/// Starts a new session, so that signals of the terminal and its closing do not reach the process.
#[allow(unsafe_code)]
pub(crate) fn detach_from_terminal(command: &mut Command) {
    // SAFETY: as above; setsid(2) is a plain system call.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Ok(())
        });
    }
}

/// The signal for a fast orderly shutdown of a server. PostgreSQL's ends sessions instead of waiting for them.
pub(crate) fn stop_signal(server: &str) -> Signal {
    match server {
        "postgres" => Signal::SIGINT,
        _ => Signal::SIGTERM,
    }
}

/// Kills a process and its process group.
pub(crate) fn kill_group(id: u32) {
    // Either may be gone already.
    let _ = killpg(pid(id), Signal::SIGKILL);
    let _ = kill(pid(id), Signal::SIGKILL);
}

/// The last lines of a log.
pub(crate) fn tail(log: &std::path::Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..]
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
