//! A lock that outlives a panic.
//!
//! A panic in one connection must not stop the others (a poisoned lock would). Every section under a
//! lock of this crate leaves its data whole at each step, so the data is good after a panic too.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
