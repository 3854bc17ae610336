//! Our threads that work for one capture path alone, so that their processor time is attributed to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pipeline::monitor::processes;

/// The role of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Our reader.
    Reader,
    /// librdkafka for our producer, and the thread of its delivery reports.
    Producer,
    /// librdkafka for the consumer, and the thread that receives.
    Receiver,
    /// Decodes what was received, and writes it.
    Consumer,
}

impl Role {
    /// Names of such threads, librdkafka's and ours; the kernel cuts a name after 15 bytes.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Reader => &["wal-reader"],
            Self::Producer => &["rdk:", "kafka-reports"],
            Self::Receiver => &["rdk:", "kafka-receiver"],
            Self::Consumer => &["consumer"],
        }
    }
}

/// Thread ids by role.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnThreads(Arc<Mutex<BTreeMap<Role, BTreeSet<u32>>>>);

impl OwnThreads {
    /// The current thread has this role.
    pub(crate) fn enter(&self, role: Role) {
        #[cfg(target_os = "linux")]
        if let Ok(id) = u32::try_from(nix::unistd::gettid().as_raw()) {
            self.lock().entry(role).or_default().insert(id);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = role;
    }

    /// Threads with matching names that did not exist `before` have this role.
    pub(crate) fn adopt(&self, role: Role, before: &BTreeSet<u32>) {
        let fresh = all().into_iter().filter(|(id, name)| {
            !before.contains(id) && role.names().iter().any(|known| name.starts_with(known))
        });
        let ids = fresh.map(|(id, _)| id);
        self.lock().entry(role).or_default().extend(ids);
    }

    /// Each role's threads.
    pub(crate) fn by_role(&self) -> BTreeMap<Role, BTreeSet<u32>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Role, BTreeSet<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads that exist now.
pub(crate) fn present() -> BTreeSet<u32> {
    all().into_iter().map(|(id, _)| id).collect()
}

/// Every thread of this process with its name; empty if the system does not report them.
fn all() -> Vec<(u32, String)> {
    processes::threads(std::process::id())
        .map(|thread| (thread.id, thread.name))
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_known_by_its_name_and_by_when_it_came() {
        let before = present();
        let threads = OwnThreads::default();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("kafka-receiver".to_owned())
            .spawn(move || {
                ready.send(nix::unistd::gettid().as_raw()).unwrap();
                // Until the test is through.
                let _ = wait.recv();
            })
            .unwrap();
        let id = u32::try_from(is_ready.recv().unwrap()).unwrap();
        threads.adopt(Role::Producer, &before);
        assert!(!threads.by_role()[&Role::Producer].contains(&id));
        threads.adopt(Role::Receiver, &before);
        assert!(threads.by_role()[&Role::Receiver].contains(&id));
        threads.adopt(Role::Reader, &present());
        assert!(threads.by_role()[&Role::Reader].is_empty());
        drop(go);
        thread.join().unwrap();
    }
}
