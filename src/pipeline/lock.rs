//! Locks of data that stays whole where a thread panics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. What is behind the lock is whole also where another thread panicked while it held it: every change under these
/// locks is a single assignment or a push.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
