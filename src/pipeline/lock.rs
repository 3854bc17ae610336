//! Locks a mutex whose data stays consistent when a thread panics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the mutex, also if another thread panicked while it held the lock. The data is consistent in that case too: every
/// change under these locks is a single assignment or a push.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
