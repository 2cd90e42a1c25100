//! How many there may be at a time, for each address and in all: connections, sessions.
//!
//! Shape: a count in all and a map from address to count; a [`Permit`] gives its place back when it is dropped.
//! Unit: whatever the holder counts. An address is an IPv4 address or an IPv6 /64, because one client owns a /64.
//! Bound: `per_address`, `total`. The map has an entry only for addresses that hold something.
//! Failure: at a bound there is no permit, and the caller says so to the client.
//! Source: hazards on connection caps: the address comes from the socket, never from a header.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// A bound on how many there may be.
#[derive(Debug)]
pub(crate) struct Quota {
    per_address: usize,
    total: usize,
    /// Std mutex: held for one map access, never across an await.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Quota {
    pub(crate) fn new(per_address: usize, total: usize) -> Arc<Self> {
        Arc::new(Self {
            per_address,
            total,
            held: Mutex::new(Held::default()),
        })
    }

    /// One more for this address, or `None` at a bound.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let address = one_client(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.total >= self.total {
            return None;
        }
        let count = held.by_address.entry(address).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        held.total += 1;
        Some(Permit {
            quota: Arc::clone(self),
            address,
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

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    quota: Arc<Quota>,
    address: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self
            .quota
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.total = held.total.saturating_sub(1);
        if let Some(count) = held.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.by_address.remove(&self.address);
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

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_bound_holds_for_each_address_and_in_all() {
        let quota = Quota::new(2, 3);
        let first = quota.take(address("127.0.0.1")).unwrap();
        let _second = quota.take(address("127.0.0.1")).unwrap();
        assert!(quota.take(address("127.0.0.1")).is_none());
        let _third = quota.take(address("127.0.0.2")).unwrap();
        assert!(quota.take(address("127.0.0.3")).is_none());
        drop(first);
        assert!(quota.take(address("127.0.0.1")).is_some());
    }

    #[test]
    fn a_dropped_permit_leaves_no_entry_behind() {
        let quota = Quota::new(1, 1);
        drop(quota.take(address("127.0.0.1")));
        assert_eq!(quota.held(), 0);
        assert!(quota.held.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn one_ipv6_network_counts_as_one_client() {
        let quota = Quota::new(1, 10);
        let _permit = quota.take(address("2001:db8::1")).unwrap();
        assert!(quota.take(address("2001:db8::2")).is_none());
        assert!(quota.take(address("2001:db8:0:1::2")).is_some());
        let _mapped = quota.take(address("::ffff:10.0.0.1")).unwrap();
        assert!(quota.take(address("10.0.0.1")).is_none());
    }
}
