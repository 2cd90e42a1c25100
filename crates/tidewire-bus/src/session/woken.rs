//! What wakes a session: a flag, and who waits for it.
//! Shape: any number of wakers, one session that waits. The flag stays until the session takes it.
//! Bound: a session that has been woken and has not looked yet is not woken again.
//! Failure: a wait that is dropped may be woken for nothing afterwards; it never misses a flag.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;

use futures_util::task::AtomicWaker;

use crate::sync::AtomicBool;

/// See the module.
#[derive(Debug)]
pub(crate) struct Woken {
    is_set: AtomicBool,
    session: AtomicWaker,
}

impl Woken {
    pub(crate) fn new() -> Self {
        Self {
            is_set: AtomicBool::new(false),
            session: AtomicWaker::new(),
        }
    }

    /// Something may be there to read.
    pub(crate) fn wake(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            self.session.wake();
        }
    }

    /// Whether it has been woken since it last cleared the flag.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// To be called before a read: what was applied before this is seen by it.
    pub(crate) fn clear(&self) {
        if self.is_set() {
            self.is_set.swap(false, Ordering::AcqRel);
        }
    }

    /// Waits for the flag and takes it.
    ///
    /// # Cancel safety
    /// A dropped call leaves the flag as it is, unless it has come back.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            // Registered first: a flag that is set from here on wakes this task.
            self.session.register(context.waker());
            if self.is_set.swap(false, Ordering::AcqRel) {
                // Who is not waiting any more need not be woken.
                self.session.take();
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_session_is_woken_once_until_it_looks() {
        let woken = Woken::new();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut wait = pin!(woken.wait());
        assert!(wait.as_mut().poll(&mut context).is_pending());
        woken.wake();
        woken.wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(wait.as_mut().poll(&mut context).is_ready());
        assert!(!woken.is_set());
    }

    #[test]
    fn a_wake_up_stays_until_somebody_waits() {
        let woken = Woken::new();
        woken.wake();
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(woken.wait()).poll(&mut context).is_ready());
        assert!(pin!(woken.wait()).poll(&mut context).is_pending());
        woken.wake();
        woken.clear();
        assert!(pin!(woken.wait()).poll(&mut context).is_pending());
    }
}
