//! A thread that works until it is asked to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest sleep, so that a stop is seen.
const SLICE: Duration = Duration::from_millis(50);

/// Whether a thread is asked to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps; false when the thread is to stop.
    pub(super) fn sleep(&self, interval: Duration) -> bool {
        let mut left = interval;
        while !left.is_zero() && !self.is_asked() {
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
        !self.is_asked()
    }
}

/// The thread. It is asked to stop when this is dropped.
#[derive(Debug)]
pub(super) struct StoppableThread {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl StoppableThread {
    pub(super) fn spawn(name: &str, work: impl FnOnce(&Stop) + Send + 'static) -> io::Result<Self> {
        let stop = Stop::default();
        let asked = stop.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&asked))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Asks it to stop, and waits for it.
    pub(super) async fn stop(mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook.
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
    }
}

impl Drop for StoppableThread {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
    }
}
