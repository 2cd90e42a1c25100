//! Tickets: a credential for one use, for clients that cannot set headers.
//!
//! Shape: a ticket is random text; what is kept is its SHA-256 and the identity that bought it.
//! Unit: 192 random bits, 32 characters of base64url.
//! Bound: `ticket_ttl`, `tickets_total`, `tickets_per_subject`; all count what was given within `ticket_ttl`, used or not.
//! Failure: a ticket that is not known, used, too old, or of a token that is over is worth nothing.
//! Source: protocol section 7; hazards part 1 row 3.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::Identity;
use crate::config::{AuthConfig, ConfigError};

/// The tickets that were given.
#[derive(Debug)]
pub(crate) struct Tickets {
    ttl: Duration,
    total: usize,
    per_subject: usize,
    /// Std mutex: held for a few map accesses, never across an await.
    given: Mutex<Given>,
}

type DigestBytes = [u8; 32];

#[derive(Debug, Default)]
struct Given {
    good: HashMap<DigestBytes, Identity>,
    /// In the order in which they were given, which is that in which they end.
    ends: VecDeque<End>,
    per_subject: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct End {
    at: Instant,
    digest: DigestBytes,
    /// Whose it was.
    name: Arc<str>,
}

/// Why there is no ticket now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTicket {
    /// The subject has had too many.
    TooMany,
    /// All together have.
    NoRoom,
    /// The system gives no random numbers.
    NoRandomness,
}

impl Tickets {
    /// Reads the bounds.
    ///
    /// # Errors
    /// One cannot work.
    pub(super) fn new(config: &AuthConfig) -> Result<Self, ConfigError> {
        if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&config.ticket_ttl) {
            let value = format!("{:?}", config.ticket_ttl);
            let accepted = "a duration from 1s to 10m";
            return Err(ConfigError::new("auth.ticket_ttl", value, accepted));
        }
        let counts = [
            ("auth.tickets_total", config.tickets_total),
            ("auth.tickets_per_subject", config.tickets_per_subject),
        ];
        for (key, value) in counts {
            if !(1..=10_000_000).contains(&value) {
                let accepted = "a count from 1 to 10000000";
                return Err(ConfigError::new(key, value, accepted));
            }
        }
        Ok(Self {
            ttl: config.ticket_ttl,
            total: config.tickets_total,
            per_subject: config.tickets_per_subject,
            given: Mutex::default(),
        })
    }

    /// How long a ticket is good.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A new ticket for somebody who has shown credentials.
    pub(crate) fn give(&self, identity: &Identity, now: Instant) -> Result<String, NoTicket> {
        let mut bits = [0; 24];
        getrandom::fill(&mut bits).map_err(|_| NoTicket::NoRandomness)?;
        let ticket = URL_SAFE_NO_PAD.encode(bits);
        let mut given = self.lock();
        given.forget_old(now);
        if given.ends.len() >= self.total {
            return Err(NoTicket::NoRoom);
        }
        let name: Arc<str> = identity.name().into();
        let count = given.per_subject.entry(Arc::clone(&name)).or_default();
        if *count >= self.per_subject {
            return Err(NoTicket::TooMany);
        }
        *count += 1;
        let digest = digest(&ticket);
        given.good.insert(digest, identity.clone());
        given.ends.push_back(End {
            at: now + self.ttl,
            digest,
            name,
        });
        Ok(ticket)
    }

    /// Whose ticket this is; it is worth nothing afterwards.
    pub(crate) fn take(&self, ticket: &str, now: Instant) -> Option<Identity> {
        let digest = digest(ticket);
        let mut given = self.lock();
        given.forget_old(now);
        given.good.remove(&digest)
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Given {
    fn forget_old(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|end| end.at <= now) {
            let Some(end) = self.ends.pop_front() else {
                return;
            };
            self.good.remove(&end.digest);
            if let Some(count) = self.per_subject.get_mut(&end.name) {
                *count -= 1;
                if *count == 0 {
                    self.per_subject.remove(&end.name);
                }
            }
        }
    }
}

/// The digest is what is looked for, so that the time of the search tells nothing about a ticket.
fn digest(ticket: &str) -> DigestBytes {
    Sha256::digest(ticket.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::rights::Rights;

    fn tickets(total: usize, per_subject: usize) -> Tickets {
        Tickets::new(&AuthConfig {
            tickets_total: total,
            tickets_per_subject: per_subject,
            ..AuthConfig::default()
        })
        .unwrap()
    }

    fn key(name: &str) -> Identity {
        Identity::of_key(name, Rights::default())
    }

    #[test]
    fn a_ticket_is_good_once() {
        let (tickets, now) = (tickets(10, 10), Instant::now());
        let ticket = tickets.give(&key("shop"), now).unwrap();
        assert_eq!(ticket.len(), 32);
        assert_eq!(tickets.take(&ticket, now).unwrap().name(), "key:shop");
        assert!(tickets.take(&ticket, now).is_none());
        assert!(tickets.take("", now).is_none());
    }

    #[test]
    fn of_a_ticket_only_the_digest_is_kept() {
        let tickets = tickets(10, 10);
        let ticket = tickets.give(&key("shop"), Instant::now()).unwrap();
        let known: DigestBytes = Sha256::digest(&ticket).into();
        assert!(tickets.lock().good.contains_key(&known));
        assert!(!format!("{tickets:?}").contains(&ticket));
    }

    #[test]
    fn of_fifty_that_try_at_once_one_gets_it() {
        let (tickets, now) = (tickets(10, 10), Instant::now());
        let ticket = tickets.give(&key("shop"), now).unwrap();
        let won = std::thread::scope(|scope| {
            let each = |_| scope.spawn(|| tickets.take(&ticket, now).is_some());
            let threads: Vec<_> = (0..50).map(each).collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.filter(|won| *won).count()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn after_its_time_a_ticket_is_worth_nothing_and_its_room_is_free() {
        let (tickets, now) = (tickets(1, 1), Instant::now());
        let ticket = tickets.give(&key("shop"), now).unwrap();
        let later = now + tickets.ttl();
        assert!(tickets.take(&ticket, later).is_none());
        assert!(tickets.give(&key("shop"), later).is_ok());
        assert_eq!(tickets.lock().good.len(), 1);
    }

    #[test]
    fn one_subject_cannot_take_the_tickets_of_all() {
        let (tickets, now) = (tickets(3, 2), Instant::now());
        let used = tickets.give(&key("a"), now).unwrap();
        // A used one counts too, or buying and using would have no bound.
        tickets.take(&used, now).unwrap();
        tickets.give(&key("a"), now).unwrap();
        assert_eq!(tickets.give(&key("a"), now), Err(NoTicket::TooMany));
        tickets.give(&key("b"), now).unwrap();
        assert_eq!(tickets.give(&key("b"), now), Err(NoTicket::NoRoom));
    }
}
