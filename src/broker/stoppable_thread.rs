//! A thread that works until it is asked to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Whether a thread is asked to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps, on the thread that is to stop; false when it is.
    pub(super) fn sleep(&self, interval: Duration) -> bool {
        let until = Instant::now() + interval;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_asked() {
                return !self.is_asked();
            }
            // Until the time is over or the stop is asked for; it may return for no reason.
            std::thread::park_timeout(left);
        }
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
        self.ask();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook.
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
    }

    fn ask(&self) {
        self.stop.0.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for StoppableThread {
    fn drop(&mut self) {
        self.ask();
    }
}
