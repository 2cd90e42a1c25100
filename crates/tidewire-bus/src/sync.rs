//! The locks and the tasks of the log and of its interests: std's and tokio's, or with the feature `shuttle`
//! those of a scheduler that tries interleavings.
//! Failure: they outlive a panic, as those of [`crate::lock`] do, and for the same reason.

use std::sync::PoisonError;
#[cfg(not(feature = "shuttle"))]
use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    future::yield_now,
    sync::{Mutex, RwLock, atomic::AtomicBool},
};
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{Mutex, RwLock, atomic::AtomicBool};
#[cfg(not(feature = "shuttle"))]
pub(crate) use tokio::task::yield_now;
#[cfg(feature = "shuttle")]
use tried::{MutexGuard, RwLockReadGuard, RwLockWriteGuard, hold as held};

/// Locks, also after a panic elsewhere.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    held(mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Locks for reading, also after a panic elsewhere.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    held(lock.read().unwrap_or_else(PoisonError::into_inner))
}

/// Locks for writing, also after a panic elsewhere.
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    held(lock.write().unwrap_or_else(PoisonError::into_inner))
}

/// A task of the runtime that this is called in. It ends by itself.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(not(feature = "shuttle"))]
    tokio::spawn(task);
    #[cfg(feature = "shuttle")]
    shuttle::future::spawn(task);
}

/// Waits. Shuttle has no time: there it lets others go on.
pub(crate) async fn sleep(time: std::time::Duration) {
    #[cfg(not(feature = "shuttle"))]
    tokio::time::sleep(time).await;
    #[cfg(feature = "shuttle")]
    {
        let _ = time;
        yield_now().await;
    }
}

/// How many tasks run at the same time.
pub(crate) fn workers() -> usize {
    #[cfg(not(feature = "shuttle"))]
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    #[cfg(feature = "shuttle")]
    let workers = 2;
    workers
}

#[cfg(not(feature = "shuttle"))]
fn held<G>(guard: G) -> G {
    guard
}

/// Shuttle's guards, after which another thread may go on: its own let one go on only before the lock is
/// given back, and so would take a read and the wait after it for one step.
#[cfg(feature = "shuttle")]
mod tried {
    use std::ops::{Deref, DerefMut};

    use shuttle::sync::atomic::{AtomicBool, Ordering};

    pub(crate) struct Held<G>(Option<G>);

    pub(crate) type MutexGuard<'a, T> = Held<shuttle::sync::MutexGuard<'a, T>>;
    pub(crate) type RwLockReadGuard<'a, T> = Held<shuttle::sync::RwLockReadGuard<'a, T>>;
    pub(crate) type RwLockWriteGuard<'a, T> = Held<shuttle::sync::RwLockWriteGuard<'a, T>>;

    pub(crate) fn hold<G>(guard: G) -> Held<G> {
        Held(Some(guard))
    }

    impl<G: Deref> Deref for Held<G> {
        type Target = G::Target;

        fn deref(&self) -> &G::Target {
            self.0.as_ref().expect("it is held until it is dropped")
        }
    }

    impl<G: DerefMut> DerefMut for Held<G> {
        fn deref_mut(&mut self) -> &mut G::Target {
            self.0.as_mut().expect("it is held until it is dropped")
        }
    }

    impl<G> Drop for Held<G> {
        fn drop(&mut self) {
            self.0 = None;
            if !std::thread::panicking() {
                // Each operation on one of its atomics is a place where shuttle may change the thread.
                AtomicBool::new(false).load(Ordering::SeqCst);
            }
        }
    }
}
