//! The ids that a subscription has handed over lately.
//!
//! Shape: a set with the order of arrival beside it.
//! Unit: ids. Bound: `SEEN_MAX`, more than the largest poll answer; the oldest leave first.
//! Failure: an id that left long ago counts as new, so a repeat that comes that late is delivered again.
//! Source: protocol section 8, promise 3.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

/// Which events were handed over already.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    set: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
}

impl Seen {
    /// True when the id is new; it is remembered then.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        if self.set.contains(id) {
            return false;
        }
        if self.order.len() == SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        let id: Arc<str> = id.into();
        self.set.insert(Arc::clone(&id));
        self.order.push_back(id);
        true
    }
}

/// Four times the largest poll answer (1000 events): a repeat comes from the joint of two connections.
const SEEN_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_id_is_known() {
        let mut seen = Seen::default();
        assert!(seen.insert("a-11"));
        assert!(seen.insert("a-12"));
        assert!(!seen.insert("a-11"));
    }

    #[test]
    fn the_oldest_id_leaves_at_the_bound() {
        let mut seen = Seen::default();
        for place in 0..=SEEN_MAX {
            assert!(seen.insert(&format!("a-{place}")));
        }
        assert_eq!(seen.order.len(), SEEN_MAX);
        assert_eq!(seen.set.len(), SEEN_MAX);
        assert!(seen.insert("a-0"));
        assert!(!seen.insert(&format!("a-{SEEN_MAX}")));
    }
}
