//! The locks of the log and of its interests: std's, or with the feature `shuttle` those of a scheduler
//! that tries interleavings.
//! Failure: they outlive a panic, as those of [`crate::lock`] do, and for the same reason.

#[cfg(feature = "shuttle")]
use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
use std::sync::PoisonError;
#[cfg(not(feature = "shuttle"))]
use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::{Mutex, RwLock};
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{Mutex, RwLock};

/// Locks, also after a panic elsewhere.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading, also after a panic elsewhere.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, also after a panic elsewhere.
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
