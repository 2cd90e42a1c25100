//! How many there may be at a time, for each holder and in all: connections, sessions.
//!
//! Shape: a count in all and a map from holder to count; a [`Permit`] gives its place back when it is dropped.
//! Unit: whatever is counted. A holder is an address ([`one_client`]: IPv4, or an IPv6 /64, because one client owns a /64) or
//! a subject; what belongs to nobody counts in all only.
//! Bound: `each`, `total`. The map has an entry only for holders of something.
//! Failure: at a bound there is no permit but the bound, and the caller says so to the client.
//! Source: hazards part 1 row 21.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// A bound on how many there may be.
#[derive(Debug)]
pub(crate) struct Quota<K: Eq + Hash = IpAddr> {
    each: usize,
    total: usize,
    /// Std mutex: held for one map access, never across an await.
    held: Mutex<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    total: usize,
    by_holder: HashMap<K, usize>,
}

/// Which bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of one holder.
    Each,
    /// That of all together.
    Total,
}

impl<K: Eq + Hash> Quota<K> {
    pub(crate) fn new(each: usize, total: usize) -> Arc<Self> {
        Arc::new(Self {
            each,
            total,
            held: Mutex::new(Held {
                total: 0,
                by_holder: HashMap::new(),
            }),
        })
    }

    /// How many are held now.
    pub(crate) fn held(&self) -> usize {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .total
    }
}

impl<K: Eq + Hash + Clone> Quota<K> {
    /// One more for this holder.
    ///
    /// # Errors
    /// The bound that is met.
    pub(crate) fn take(self: &Arc<Self>, holder: Option<K>) -> Result<Permit<K>, Full> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.total >= self.total {
            return Err(Full::Total);
        }
        if let Some(holder) = &holder {
            held.count(holder, self.each)?;
        }
        held.total += 1;
        Ok(Permit {
            quota: Arc::clone(self),
            holder,
        })
    }
}

impl<K: Eq + Hash + Clone> Held<K> {
    /// Counts one more for this holder, unless it has `each` already.
    fn count(&mut self, holder: &K, each: usize) -> Result<(), Full> {
        match self.by_holder.get_mut(holder) {
            Some(count) if *count >= each => return Err(Full::Each),
            Some(count) => *count += 1,
            None => {
                self.by_holder.insert(holder.clone(), 1);
            }
        }
        Ok(())
    }
}

impl<K: Eq + Hash + Clone> Permit<K> {
    /// The place, taken as nobody's, turns out to be this holder's.
    ///
    /// # Errors
    /// The holder has as many as it may; the place stays nobody's.
    pub(crate) fn belongs_to(&mut self, holder: K) -> Result<(), Full> {
        let mut held = self
            .quota
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.count(&holder, self.quota.each)?;
        drop(held);
        self.holder = Some(holder);
        Ok(())
    }
}

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit<K: Eq + Hash = IpAddr> {
    quota: Arc<Quota<K>>,
    /// `None`: nobody's.
    holder: Option<K>,
}

impl<K: Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        let mut held = self
            .quota
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.total = held.total.saturating_sub(1);
        let Some(holder) = &self.holder else {
            return;
        };
        if let Some(count) = held.by_holder.get_mut(holder) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.by_holder.remove(holder);
            }
        }
    }
}

/// The part of an address that stands for one client.
pub(crate) fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(one_client(text.parse().unwrap()))
    }

    #[test]
    fn the_bound_holds_for_each_holder_and_in_all() {
        let quota = Quota::new(2, 3);
        let first = quota.take(address("127.0.0.1")).unwrap();
        let _second = quota.take(address("127.0.0.1")).unwrap();
        assert_eq!(quota.take(address("127.0.0.1")).unwrap_err(), Full::Each);
        let _third = quota.take(address("127.0.0.2")).unwrap();
        assert_eq!(quota.take(address("127.0.0.3")).unwrap_err(), Full::Total);
        drop(first);
        assert!(quota.take(address("127.0.0.1")).is_ok());
    }

    #[test]
    fn what_is_nobodys_counts_in_all_only() {
        let quota = Quota::<IpAddr>::new(1, 2);
        let _first = quota.take(None).unwrap();
        let _second = quota.take(None).unwrap();
        assert_eq!(quota.take(None).unwrap_err(), Full::Total);
    }

    #[test]
    fn a_place_of_nobody_can_become_somebodys_within_the_bound() {
        let quota = Quota::new(1, 3);
        let mut first = quota.take(None).unwrap();
        let mut second = quota.take(None).unwrap();
        let holder = one_client("127.0.0.1".parse().unwrap());
        first.belongs_to(holder).unwrap();
        assert_eq!(second.belongs_to(holder), Err(Full::Each));
        drop(first);
        second.belongs_to(holder).unwrap();
        drop(second);
        assert_eq!(quota.held(), 0);
        assert!(quota.held.lock().unwrap().by_holder.is_empty());
    }

    #[test]
    fn a_dropped_permit_leaves_no_entry_behind() {
        let quota = Quota::new(1, 1);
        drop(quota.take(address("127.0.0.1")));
        assert_eq!(quota.held(), 0);
        assert!(quota.held.lock().unwrap().by_holder.is_empty());
    }

    #[test]
    fn one_ipv6_network_counts_as_one_client() {
        let quota = Quota::new(1, 10);
        let _permit = quota.take(address("2001:db8::1")).unwrap();
        assert!(quota.take(address("2001:db8::2")).is_err());
        assert!(quota.take(address("2001:db8:0:1::2")).is_ok());
        let _mapped = quota.take(address("::ffff:10.0.0.1")).unwrap();
        assert!(quota.take(address("10.0.0.1")).is_err());
    }
}
