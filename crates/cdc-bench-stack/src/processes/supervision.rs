//! Supervision of a stack's servers: a server that ends by itself is restarted; one that keeps ending is given up for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::child::{Child, stop_signal, tail};
use super::gc_log::{GcPause, gc_pauses};
use super::outage::{OutageKind, OutageNote, OutageState};
use super::tree::{pid, signal_tree};
use crate::error::StackError;

/// Interval between checks.
const EVERY: Duration = Duration::from_millis(100);
/// After this many restarts within [`WINDOW`] a server is given up, until some of them are longer ago.
const MOST_RESTARTS: u32 = 8;
const WINDOW: Duration = Duration::from_secs(60);
/// Pause before a further restart, doubled each time. Processes of the dead server need a moment to release ports and
/// shared memory.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long after its start the end of a server still belongs to the outage before it, and it may be given up still.
const STARTING: Duration = Duration::from_secs(5);
/// Longest wait for a server to end that was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A server and its restarts.
#[derive(Debug)]
struct SupervisedServer {
    child: Child,
    /// Restarts within [`WINDOW`].
    restarts: Vec<Instant>,
    /// All restarts.
    history: Vec<jiff::Timestamp>,
    /// The last start after a wanted outage.
    returned: Option<Instant>,
    /// Why it is given up, while it is.
    given_up: Option<String>,
}

#[derive(Debug, Default)]
struct SupervisionState {
    servers: Vec<SupervisedServer>,
}

/// The current state of a server.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ServerProcess {
    /// `postgres`, `kafka`, `connect` or `store`; with a number, such as `kafka-2`, where there are several of it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Host and port.
    pub address: String,
    /// Process id.
    pub pid: u32,
    /// Path of its log.
    pub log: std::path::PathBuf,
    /// Restarts after it had ended by itself.
    pub restarts: u32,
    /// Times of these restarts.
    #[serde(default)]
    pub restarted_at: Vec<jiff::Timestamp>,
}

impl ServerProcess {
    /// Takes the server away for a time. Its supervision brings it back.
    ///
    /// # Errors
    /// When the note for its supervision cannot be written; then nothing was done.
    pub(crate) fn take_away(&self, kind: OutageKind, length: Duration) -> Result<(), StackError> {
        OutageNote::lasting(OutageState::Away(kind), length).write(&self.log)?;
        match kind {
            OutageKind::Kill => signal_tree(self.pid, Signal::SIGKILL),
            OutageKind::Pause => signal_tree(self.pid, Signal::SIGSTOP),
            // It may have ended already.
            OutageKind::Stop => drop(kill(pid(self.pid), stop_signal(&self.name))),
        }
        Ok(())
    }

    /// Its pauses for collecting garbage, if it is a JVM.
    pub(crate) fn gc_pauses(&self) -> Vec<GcPause> {
        gc_pauses(&self.name, &self.log)
    }

    /// Whether it was taken away and neither started again nor continued yet.
    pub(crate) fn is_away(&self) -> bool {
        let note = OutageNote::read(&self.log);
        note.is_some_and(|note| note.state != OutageState::Starting)
    }

    /// Brings it back now if it was taken away.
    pub(crate) fn bring_back(&self) {
        let Some(note) = OutageNote::read(&self.log) else {
            return;
        };
        if note.state == OutageState::Away(OutageKind::Pause) {
            signal_tree(self.pid, Signal::SIGCONT);
        }
        let over = OutageNote::lasting(note.state, Duration::ZERO);
        if let Err(error) = over.write(&self.log) {
            tracing::warn!(server = self.name, %error, "an outage ends later than it should");
        }
    }
}

/// Supervises servers on its own thread. The kernel kills a child when the thread that started it ends, so restarted
/// servers live as long as this thread.
#[derive(Debug)]
pub(crate) struct Supervision {
    state: Arc<Mutex<SupervisionState>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Supervision {
    pub(crate) fn begin(children: Vec<Child>) -> Result<Self, StackError> {
        let servers = children
            .into_iter()
            .map(|child| SupervisedServer {
                child,
                restarts: Vec::new(),
                history: Vec::new(),
                returned: None,
                given_up: None,
            })
            .collect();
        let state = Arc::new(Mutex::new(SupervisionState { servers }));
        let stop = Arc::new(AtomicBool::new(false));
        let (server, stopping) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("supervision".to_owned())
            .spawn(move || {
                while !stopping.load(Ordering::Relaxed) {
                    lock(&server).restart_ended();
                    std::thread::sleep(EVERY);
                }
            })
            .map_err(StackError::io("start", "the supervision thread"))?;
        Ok(Self {
            state,
            stop,
            thread: Some(thread),
        })
    }

    /// The current state of all servers.
    pub(crate) fn servers(&self) -> Vec<ServerProcess> {
        let status = |server: &SupervisedServer| ServerProcess {
            name: server.child.spec.name.clone(),
            version: server.child.spec.version.clone(),
            address: server.child.spec.address.clone(),
            pid: server.child.pid(),
            log: server.child.spec.log.clone(),
            restarts: u32::try_from(server.history.len()).unwrap_or(u32::MAX),
            restarted_at: server.history.clone(),
        };
        lock(&self.state).servers.iter().map(status).collect()
    }

    /// The server that is given up now, and why.
    pub(crate) fn given_up(&self) -> Option<String> {
        let state = lock(&self.state);
        state.servers.iter().find_map(|of| of.given_up.clone())
    }

    /// Stops the servers: all get the stop signal at once, then each is waited for up to `patience`, in reverse order
    /// of start.
    pub(crate) fn end(mut self, patience: Duration) {
        let mut servers = self.take();
        servers
            .iter_mut()
            .rev()
            .for_each(|server| server.child.ask_to_stop());
        for server in servers.into_iter().rev() {
            server.child.stop(patience);
        }
    }

    /// Stops the supervision thread and returns the servers.
    fn take(&mut self) -> Vec<SupervisedServer> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there changes nothing about the shutdown.
            let _ = thread.join();
        }
        std::mem::take(&mut lock(&self.state).servers)
    }
}

impl Drop for Supervision {
    fn drop(&mut self) {
        // Dropping a `Child` kills its process.
        drop(self.take());
    }
}

impl SupervisedServer {
    /// Ends an outage whose time is over; what happens until then is wanted.
    fn attend(&mut self, note: OutageNote) -> Result<(), StackError> {
        let (over_for, has_ended) = (note.over_for(), self.child.ended().is_some());
        match (note.state, over_for) {
            (OutageState::Starting, _) if has_ended => self.start_again(),
            (OutageState::Away(OutageKind::Kill | OutageKind::Stop), Some(_)) if has_ended => {
                self.start_again()
            }
            (OutageState::Away(OutageKind::Pause), Some(_)) => {
                signal_tree(self.child.pid(), Signal::SIGCONT);
                OutageNote::remove(&self.child.spec.log);
                Ok(())
            }
            (OutageState::Away(_), Some(late)) if late > STOP_LIMIT => {
                let server = &self.child.spec.name;
                tracing::warn!(
                    server,
                    "a server does not end although it was asked to; killing it"
                );
                signal_tree(self.child.pid(), Signal::SIGKILL);
                Ok(())
            }
            (OutageState::Starting, Some(_)) => {
                OutageNote::remove(&self.child.spec.log);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start_again(&mut self) -> Result<(), StackError> {
        if self.returned.is_some_and(|last| last.elapsed() < PAUSE) {
            return Ok(());
        }
        self.returned = Some(Instant::now());
        let spec = self.child.spec.clone();
        OutageNote::lasting(OutageState::Starting, STARTING).write(&spec.log)?;
        self.child = Child::start(spec)?;
        Ok(())
    }

    /// Starts it again where it has ended by itself.
    fn restart_if_ended(&mut self) -> Result<(), StackError> {
        let last = self.restarts.last().map(Instant::elapsed);
        let Some(status) = self.child.ended() else {
            if last.is_none_or(|ago| ago > STARTING) {
                self.given_up = None;
            }
            return Ok(());
        };
        let name = &self.child.spec.name;
        self.restarts.retain(|at| at.elapsed() < WINDOW);
        let recent = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        if recent >= MOST_RESTARTS {
            self.given_up.get_or_insert_with(|| {
                format!(
                    "{name} keeps ending ({status}); the end of its log:\n{}",
                    tail(&self.child.spec.log)
                )
            });
            return Ok(());
        }
        let pause = (PAUSE * (1 << recent)).min(LONGEST_PAUSE);
        if last.is_some_and(|ago| ago < pause) {
            return Ok(());
        }
        tracing::warn!(server = name, %status, "a server ended by itself; starting it again");
        self.restarts.push(Instant::now());
        self.history.push(jiff::Timestamp::now());
        self.child = Child::start(self.child.spec.clone())?;
        Ok(())
    }
}

impl SupervisionState {
    fn restart_ended(&mut self) {
        for server in &mut self.servers {
            let attended = match OutageNote::read(&server.child.spec.log) {
                Some(note) => server.attend(note),
                None => server.restart_if_ended(),
            };
            if let Err(error) = attended {
                server.given_up.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

fn lock(state: &Mutex<SupervisionState>) -> MutexGuard<'_, SupervisionState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::child::{ServerSpec, kill_group};
    use super::*;

    fn shell(folder: &std::path::Path, script: &str) -> Child {
        Child::start(ServerSpec {
            name: "server".to_owned(),
            version: String::new(),
            address: String::new(),
            program: "sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: Vec::new(),
            folder: folder.to_owned(),
            log: folder.join("server.log"),
            never_root: false,
            new_archive: None,
        })
        .unwrap()
    }

    fn until(what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(60), "waited too long");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_server_that_is_killed_comes_back_and_ends_with_the_stack() {
        let folder = tempfile::tempdir().unwrap();
        let supervision = Supervision::begin(vec![shell(folder.path(), "sleep 600")]).unwrap();
        let first = supervision.servers()[0].pid;
        kill_group(first);
        until(|| supervision.servers()[0].pid != first);
        let second = supervision.servers()[0].clone();
        assert_eq!((second.restarts, supervision.given_up()), (1, None));
        assert_eq!(second.restarted_at.len(), 1);
        supervision.end(Duration::from_secs(1));
        let alive = nix::sys::signal::kill(pid(second.pid), None);
        assert!(alive.is_err(), "it is gone");
    }

    #[test]
    fn a_server_that_is_wanted_away_comes_back_when_its_time_is_over_and_has_not_ended_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let supervision = Supervision::begin(vec![shell(folder.path(), "sleep 600")]).unwrap();
        let first = supervision.servers()[0].clone();
        for kind in [OutageKind::Kill, OutageKind::Stop, OutageKind::Pause] {
            let before = supervision.servers()[0].clone();
            let began = Instant::now();
            before.take_away(kind, Duration::from_millis(600)).unwrap();
            assert!(before.is_away());
            until(|| !before.is_away());
            assert!(began.elapsed() >= Duration::from_millis(600), "{kind:?}");
            let now = supervision.servers()[0].clone();
            assert_eq!(now.pid == before.pid, kind == OutageKind::Pause, "{kind:?}");
            assert_eq!((now.restarts, supervision.given_up()), (0, None));
        }
        assert_ne!(supervision.servers()[0].pid, first.pid);
    }

    #[test]
    fn a_server_that_keeps_ending_is_given_up_with_the_end_of_its_log_until_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let script = "[ -e room ] && exec sleep 600; echo no room left; exit 3";
        let script = format!("cd {}; {script}", folder.path().display());
        let supervision = Supervision::begin(vec![shell(folder.path(), &script)]).unwrap();
        until(|| supervision.given_up().is_some());
        let reason = supervision.given_up().unwrap();
        assert!(
            reason.contains("exit status: 3") && reason.contains("no room left"),
            "{reason}"
        );
        // As if a minute had passed.
        std::fs::write(folder.path().join("room"), "").unwrap();
        lock(&supervision.state).servers[0].restarts.clear();
        until(|| supervision.given_up().is_none());
        assert_eq!(supervision.servers()[0].restarts, MOST_RESTARTS + 1);
    }
}
