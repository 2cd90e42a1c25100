//! Tokens that are good no longer although their time is not over.
//!
//! Shape: [`Revocations`] answers one question for whoever has just been identified; [`file`] keeps them across a restart.
//! A subject's revocation is for all tokens that were issued before it, a token's for that one.
//! Unit: seconds since the Unix epoch, as in a token; wall clock.
//! Bound: `revocations.max`. One goes away at its end: after the time that was asked for, or once no token can be valid
//! any more, which is the token's own end where it is known, and `revocations.keep` where it is not.
//! Failure: at the bound nothing is added, and the operator is told. What cannot be saved is in force until the next start,
//! and the operator is told that.
//! Source: hazards part 1 row 9; protocol document, "The admin port".

mod file;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use self::file::File;
pub(crate) use self::file::FileError;
use crate::{
    auth::{Identity, identity::is_key_subject},
    config::ConfigError,
};

/// How long revocations are kept: `[revocations]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RevocationsConfig {
    /// Revocations at a time. Default 10000. At the bound a new one is refused with 503.
    pub max: usize,
    /// How long one lasts where no `for` is given and the token's end is not known. Default 30 days; at least as long as
    /// your longest token. Those of API keys, which have no end, last until they are taken back.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

impl Default for RevocationsConfig {
    fn default() -> Self {
        Self {
            max: 10_000,
            keep: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

impl RevocationsConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(1..=1_000_000).contains(&self.max) {
            let accepted = "a count from 1 to 1000000";
            return Err(ConfigError::new("revocations.max", self.max, accepted));
        }
        if !(KEEP_MIN..=KEEP_MAX).contains(&self.keep) {
            let accepted = "a time from \"1s\" to \"3650days\"";
            return Err(ConfigError::new(
                "revocations.keep",
                format!("{:?}", self.keep),
                accepted,
            ));
        }
        Ok(())
    }
}

/// Whom a revocation is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Revoked {
    /// All tokens of a subject that were issued before.
    Subject(String),
    /// One token, by its id.
    Token(String),
}

/// One revocation. This is also its form in the file and on the admin port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    /// Names it on the admin port.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) revoked: Revoked,
    /// When it was made. Tokens of a subject that were issued in this second or before it are not good.
    pub(crate) since: u64,
    /// When it goes away; `None`: only when it is taken back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) until: Option<u64>,
}

/// Why a revocation was not made, or not saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevocationError {
    /// There are as many as there may be.
    #[error("there are {0} revocations already, and revocations.max is {0}")]
    Full(usize),
    /// It is in force, and lasts until the next start.
    #[error("it is in force but could not be saved: {0}")]
    NotSaved(#[source] FileError),
    /// Nothing was changed.
    #[error("nothing was changed, because it could not be saved: {0}")]
    NotTaken(#[source] FileError),
}

/// The revocations in force. By default none, and those that are added end with the process.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    config: RevocationsConfig,
    /// Whether there are any: asked first, so that a gateway without them pays one look.
    any: AtomicBool,
    /// Std lock: held for a look or one change, never across an await.
    known: RwLock<Known>,
    /// Held while a change is written, so that the newest state is what the file has in the end.
    file: tokio::sync::Mutex<File>,
}

/// By what is revoked, so that a look needs no copy of it.
#[derive(Debug, Default)]
struct Known {
    subjects: HashMap<String, Revocation>,
    tokens: HashMap<String, Revocation>,
}

impl Known {
    fn of(&mut self, revoked: &Revoked) -> (&mut HashMap<String, Revocation>, String) {
        match revoked {
            Revoked::Subject(subject) => (&mut self.subjects, subject.clone()),
            Revoked::Token(token) => (&mut self.tokens, token.clone()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Revocation> {
        self.subjects.values().chain(self.tokens.values())
    }

    fn len(&self) -> usize {
        self.subjects.len() + self.tokens.len()
    }

    fn forget_old(&mut self, now: u64) {
        self.subjects.retain(|_, each| !each.is_over(now));
        self.tokens.retain(|_, each| !each.is_over(now));
    }

    fn insert(&mut self, revocation: Revocation) {
        let (map, name) = self.of(&revocation.revoked);
        map.insert(name, revocation);
    }

    fn remove(&mut self, revoked: &Revoked) {
        let (map, name) = self.of(revoked);
        map.remove(&name);
    }
}

impl Revocations {
    /// Reads those that are kept in this folder; without a folder they last until the process ends.
    ///
    /// # Errors
    /// The file is there and cannot be read: whoever was revoked would come back.
    pub(crate) fn open(
        config: &RevocationsConfig,
        folder: Option<PathBuf>,
    ) -> Result<Self, FileError> {
        let file = File::in_folder(folder);
        let now = now();
        let mut known = Known::default();
        let kept = file.read()?.into_iter();
        kept.filter(|each| !each.is_over(now))
            .for_each(|each| known.insert(each));
        Ok(Self {
            config: config.clone(),
            any: AtomicBool::new(known.len() > 0),
            known: RwLock::new(known),
            file: tokio::sync::Mutex::new(file),
        })
    }

    /// Whether this one's credentials have been revoked.
    pub(crate) fn refuse(&self, identity: &Identity) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        self.refuse_at(identity, now())
    }

    fn refuse_at(&self, identity: &Identity, now: u64) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let token = identity.token_id().and_then(|id| known.tokens.get(id));
        if token.is_some_and(|each| !each.is_over(now)) {
            return true;
        }
        let subject = identity
            .subject()
            .and_then(|subject| known.subjects.get(subject));
        let Some(revocation) = subject.filter(|each| !each.is_over(now)) else {
            return false;
        };
        // Without a time of issue nobody can say that it is a newer one.
        identity
            .issued()
            .is_none_or(|issued| issued <= revocation.since)
    }

    /// Revokes from now on. One for the same subject or token takes the place of the former, and never ends sooner.
    ///
    /// `until`: the end of the only token that is meant, where that is known. `lasting`: what the operator asked for.
    ///
    /// # Errors
    /// There is no room; or it is in force but not saved.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may leave it in force and not saved. Give it a task of its own.
    pub(crate) async fn add(
        &self,
        revoked: Revoked,
        lasting: Option<Duration>,
        until: Option<u64>,
    ) -> Result<Revocation, RevocationError> {
        let file = self.file.lock().await;
        let now = now();
        let end_after = |time: Duration| now.saturating_add(time.as_secs().max(1));
        let is_of_a_key = matches!(&revoked, Revoked::Subject(subject) if is_key_subject(subject));
        let until = match (lasting, until) {
            (Some(time), _) => Some(end_after(time)),
            (None, Some(until)) => Some(until),
            (None, None) if is_of_a_key => None,
            (None, None) => Some(end_after(self.config.keep)),
        };
        let revocation = Revocation {
            id: random_id(),
            revoked: revoked.clone(),
            since: now,
            until,
        };
        let revocation = self.put(revocation, now)?;
        let all = self.all();
        file.write(all).await.map_err(RevocationError::NotSaved)?;
        Ok(revocation)
    }

    fn put(&self, mut revocation: Revocation, now: u64) -> Result<Revocation, RevocationError> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let (map, name) = known.of(&revocation.revoked);
        if let Some(former) = map.get(&name).filter(|each| !each.is_over(now)) {
            revocation.until = later(former.until, revocation.until);
        } else if known.len() >= self.config.max {
            known.forget_old(now);
            if known.len() >= self.config.max {
                return Err(RevocationError::Full(self.config.max));
            }
        }
        known.insert(revocation.clone());
        self.any.store(true, Ordering::Release);
        Ok(revocation)
    }

    /// Takes one back. `false`: there is none with this id.
    ///
    /// # Errors
    /// It could not be saved, so it is still in force.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Revocations::add`].
    pub(crate) async fn take_back(&self, id: &str) -> Result<bool, RevocationError> {
        let file = self.file.lock().await;
        let mut left = self.all();
        let Some(place) = left.iter().position(|each| each.id == id) else {
            return Ok(false);
        };
        let taken = left.swap_remove(place);
        file.write(left).await.map_err(RevocationError::NotTaken)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(&taken.revoked);
        self.any.store(known.len() > 0, Ordering::Release);
        Ok(true)
    }

    /// Those in force, the newest first.
    pub(crate) fn all(&self) -> Vec<Revocation> {
        let (known, now) = (
            self.known.read().unwrap_or_else(PoisonError::into_inner),
            now(),
        );
        let mut all: Vec<_> = known
            .all()
            .filter(|each| !each.is_over(now))
            .cloned()
            .collect();
        all.sort_by(|one, other| {
            other
                .since
                .cmp(&one.since)
                .then_with(|| one.id.cmp(&other.id))
        });
        all
    }
}

impl Revocation {
    fn is_over(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// The later of two ends; no end is the latest.
fn later(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one?.max(other?))
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Sixteen hexadecimal digits. They name, they protect nothing.
fn random_id() -> String {
    // Without randomness: the clock.
    let number = getrandom::u64().unwrap_or_else(|_| {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    });
    format!("{number:016x}")
}

const KEEP_MIN: Duration = Duration::from_secs(1);
const KEEP_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);

#[cfg(test)]
mod tests;
