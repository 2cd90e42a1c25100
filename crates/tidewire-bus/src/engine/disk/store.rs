//! The keyspaces of one data folder, and what is done when it is opened.
//! Failure: a folder that another process holds, another format, damage in the middle of the log or in
//! a record is an [`OpenError`]. A log that has lost its end goes on in a new epoch, and says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use tidewire_protocol::Epoch;

use super::journals::Journals;
use super::mark::{Found, Mark, MarkFile, State};
use super::record::{self, Damaged, FORMAT, Meta, TAIL_KEY};
use super::{DiskConfig, Durability};
use crate::clock::Now;
use crate::epoch;
use crate::idempotency::Keys;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operator's matter: another gateway uses this folder.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The operator's matter: rights, space, or the disk itself.
    #[error("cannot use {}: {}", .folder.display(), .source)]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operator's matter: start the version that wrote it, or use another folder.
    #[error(
        "{} was written in format {found}, this version reads format {FORMAT}: start the version that \
         wrote it, or use another folder", .folder.display()
    )]
    OtherFormat {
        /// Which folder.
        folder: PathBuf,
        /// The format that stands there.
        found: u64,
    },
    /// The store does not open, or is not what was written.
    #[error(
        "the store in {} is damaged: {detail}. Put back a copy of the folder, or move it away to begin \
         an empty log in a new epoch", .folder.display()
    )]
    Damaged {
        /// Which folder.
        folder: PathBuf,
        /// What was found.
        detail: String,
    },
}

/// A read or write of the store failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("{0}")]
    Fjall(#[from] fjall::Error),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("a sync failed: {0}")]
    Sync(fjall::Error),
    #[error("{0}")]
    Damaged(#[from] Damaged),
    #[error("{0}")]
    Lost(String),
    #[error("written in format {0}")]
    OtherFormat(u64),
}

impl StoreError {
    /// The store has given up after a failure in its background.
    pub(super) fn is_of_background(&self) -> bool {
        matches!(self, Self::Fjall(fjall::Error::Poisoned))
    }

    /// Whether something could not be written for want of space. A sync is another matter: what the system
    /// has of it afterwards is not known.
    pub(super) fn is_full(&self) -> bool {
        if matches!(self, Self::Sync(_)) {
            return false;
        }
        let mut cause = Some(self as &(dyn std::error::Error + 'static));
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                return is_full(error);
            }
            cause = error.source();
        }
        false
    }
}

pub(super) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The keyspaces. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) db: Database,
    pub(super) events: Keyspace,
    pub(super) state: Keyspace,
    pub(super) epoch: Epoch,
}

impl Store {
    /// Opens or makes the store in this folder.
    pub(super) fn open(folder: &Path, config: &DiskConfig) -> Result<(Self, MarkFile), StoreError> {
        std::fs::create_dir_all(folder)?;
        let (file, found) = MarkFile::open(folder)?;
        match found {
            Found::Format(found) => return Err(StoreError::OtherFormat(found)),
            Found::Mark { mark, .. } | Found::Copy(mark) if mark.state == State::Damaged => {
                let detail = "an earlier start has found that a part of its middle is lost";
                return Err(StoreError::Lost(detail.into()));
            }
            Found::Mark { .. } | Found::Copy(_) | Found::Nothing | Found::Unreadable => {}
        }
        let journals = Journals::before_opening(folder)?;
        let mut store = Self::keyspaces(folder, config)?;
        let known = match found {
            Found::Mark { mark, .. } | Found::Copy(mark) => Some(mark),
            Found::Nothing | Found::Unreadable | Found::Format(_) => None,
        };
        let looked_at = store.look_at(&journals, known);
        if let Err(StoreError::Lost(_) | StoreError::Damaged(_)) = looked_at {
            // Said again at the next start: opening may have mended what shows it now.
            let mark = store.mark(Meta::default(), config.durability, State::Damaged);
            file.write(&mark)?;
            file.sync()?;
        }
        let (meta, is_new) = looked_at?;
        if !is_new && let Some(reason) = broken(&found, meta, store.epoch) {
            store.begin_epoch()?;
            let epoch = store.epoch;
            tracing::warn!(%epoch, reason, "the log goes on in a new epoch: subscribers are told a gap");
        }
        file.write(&store.mark(meta, config.durability, State::Open))?;
        file.sync()?;
        Ok((store, file))
    }

    fn keyspaces(folder: &Path, config: &DiskConfig) -> Result<Self, StoreError> {
        let open = || {
            let db = Database::builder(folder)
                .cache_size(config.cache_bytes)
                .max_journaling_size(JOURNALS_MAX_BYTES)
                .worker_threads(1)
                .open()?;
            if db.keyspace_exists("meta") {
                return Err(StoreError::OtherFormat(1));
            }
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
            Ok(Self {
                events: db.keyspace("events", options)?,
                state: db.keyspace("state", options)?,
                db,
                epoch: epoch::random(),
            })
        };
        // The library asserts where it meets damage that it does not expect.
        let opened = catch_unwind(AssertUnwindSafe(open));
        opened.unwrap_or_else(|_| Err(StoreError::Lost("its files contradict each other".into())))
    }

    /// Reads the epoch, or begins one in an empty store. Gives also whether that was so.
    fn look_at(
        &mut self,
        journals: &Journals,
        known: Option<Mark>,
    ) -> Result<(Meta, bool), StoreError> {
        let is_new = self.is_new()?;
        if is_new {
            if let Some(Mark { head, .. }) = known {
                let detail = format!("its head mark tells of place {head}, and the store is empty");
                return Err(StoreError::Lost(detail));
            }
            self.begin()?;
        } else {
            self.epoch = self.stored_epoch()?;
        }
        let meta = self.meta(&self.db.snapshot())?;
        self.check_head(meta)?;
        self.check_middle(journals, meta)?;
        Ok((meta, is_new))
    }

    fn is_new(&self) -> Result<bool, StoreError> {
        if self.state.get(FORMAT_KEY)?.is_some() {
            return Ok(false);
        }
        if self.events.is_empty()? && self.state.is_empty()? {
            return Ok(true);
        }
        Err(Damaged("meta").into())
    }

    /// Makes a log out of an empty store.
    fn begin(&self) -> Result<(), StoreError> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.state, FORMAT_KEY, FORMAT.to_be_bytes());
        batch.insert(&self.state, EPOCH_KEY, self.epoch.as_str());
        batch.insert(&self.state, META_KEY, Meta::default().to_bytes());
        batch.insert(&self.events, TAIL_KEY, 0_u64.to_be_bytes());
        Ok(batch.commit()?)
    }

    /// From here on the history is no continuation of what it was.
    fn begin_epoch(&mut self) -> Result<(), StoreError> {
        self.epoch = epoch::random();
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.state, EPOCH_KEY, self.epoch.as_str());
        Ok(batch.commit()?)
    }

    fn stored_epoch(&self) -> Result<Epoch, StoreError> {
        let format = self.state.get(FORMAT_KEY)?.ok_or(Damaged("meta"))?;
        let format = record::parse_number(&format, "meta")?;
        if format != FORMAT {
            return Err(StoreError::OtherFormat(format));
        }
        let epoch = self.state.get(EPOCH_KEY)?.ok_or(Damaged("meta"))?;
        let epoch = std::str::from_utf8(&epoch).map_err(|_| Damaged("meta"))?;
        Ok(Epoch::parse(epoch).map_err(|_| Damaged("meta"))?)
    }

    /// Nothing may stand in the log beyond its head: places would be given twice.
    fn check_head(&self, meta: Meta) -> Result<(), StoreError> {
        let newest = self.events.range(..u64::MAX.to_be_bytes()).next_back();
        let newest = newest.map(|guard| {
            let key = guard.key()?;
            Ok::<_, StoreError>(record::parse_number(&key, "events")?)
        });
        match newest.transpose()? {
            Some(newest) if newest > meta.head => Err(Damaged("meta").into()),
            _ => Ok(()),
        }
    }

    /// Nothing may be missing between what each keyspace has.
    fn check_middle(&self, journals: &Journals, meta: Meta) -> Result<(), StoreError> {
        if let Some(cut) = journals.cut()? {
            return Err(StoreError::Lost(cut));
        }
        let tail = self.events.get(TAIL_KEY)?.ok_or(Damaged("events"))?;
        let tail = record::parse_number(&tail, "events")?;
        let group = meta.group;
        if tail == group {
            return Ok(());
        }
        Err(StoreError::Lost(format!(
            "its events are those of commit {tail}, and what is known of them of {group}"
        )))
    }

    /// The mark of this store.
    pub(super) fn mark(&self, meta: Meta, durability: Durability, state: State) -> Mark {
        Mark {
            epoch: self.epoch,
            head: meta.head,
            group: meta.group,
            durability,
            state,
        }
    }

    /// The log as a whole, at the moment of the snapshot.
    pub(super) fn meta(&self, snapshot: &Snapshot) -> Result<Meta, StoreError> {
        let value = snapshot
            .get(&self.state, META_KEY)?
            .ok_or(Damaged("meta"))?;
        Ok(Meta::parse(&value)?)
    }

    /// The idempotency keys that are still in their window.
    pub(super) fn load_keys(&self, window: Duration, now: Now) -> Result<Keys, StoreError> {
        let mut found = Vec::new();
        for guard in self.state.prefix([record::KEYS]) {
            let (key, value) = guard.into_inner()?;
            found.push(record::parse_first_publish(&key, &value)?);
        }
        found.sort_unstable_by_key(|(_, first)| first.place);
        let mut keys = Keys::new(window);
        for (name, first) in found {
            keys.remember(name, first);
        }
        for name in keys.expire(now.steady_ms) {
            self.state.remove(record::idempotency_key(&name))?;
        }
        Ok(keys)
    }
}

/// Why the log that was found is no continuation of the one that the mark tells of.
fn broken(found: &Found, meta: Meta, epoch: Epoch) -> Option<String> {
    let reason = match found {
        Found::Nothing => "its head mark is missing".into(),
        Found::Copy(_) => "the folder is a copy of another".into(),
        Found::Unreadable | Found::Format(_) => "its head mark cannot be read".into(),
        Found::Mark { mark, .. } if mark.epoch != epoch => {
            "its head mark is that of another epoch".into()
        }
        Found::Mark { mark, .. } if mark.group > meta.group => format!(
            "its end is lost: place {} was acknowledged, and the store ends with {}",
            mark.head, meta.head
        ),
        Found::Mark { mark, same_boot } => {
            let is_synced = mark.durability == Durability::Always || mark.state == State::Closed;
            if is_synced || *same_boot {
                return None;
            }
            let durability = mark.durability.as_str();
            format!("the machine went down under durability = \"{durability}\"")
        }
    };
    Some(reason)
}

/// What the operator can do about it.
pub(super) fn explain(folder: &Path, error: StoreError) -> OpenError {
    let folder = folder.to_path_buf();
    match error {
        StoreError::Fjall(fjall::Error::Locked) => OpenError::Locked(folder),
        StoreError::Fjall(fjall::Error::Io(source)) | StoreError::Io(source) => {
            OpenError::Folder { folder, source }
        }
        StoreError::Fjall(fjall::Error::Storage(storage)) => OpenError::Damaged {
            folder,
            detail: format!("{storage:?}"),
        },
        StoreError::OtherFormat(found) => OpenError::OtherFormat { folder, found },
        error @ (StoreError::Fjall(_)
        | StoreError::Sync(_)
        | StoreError::Damaged(_)
        | StoreError::Lost(_)) => OpenError::Damaged {
            folder,
            detail: error.to_string(),
        },
    }
}

const FORMAT_KEY: &str = "mformat";
const EPOCH_KEY: &str = "mepoch";
/// The log's [`Meta`].
pub(super) const META_KEY: &str = "mlog";
/// The retention rules under which the store was last written.
pub(super) const RETENTION_KEY: &str = "mretention";
/// Beyond it the store writes its memory out, so that its oldest journal can go: what a start reads.
const JOURNALS_MAX_BYTES: u64 = 64 << 20;
/// Of each keyspace, before it is written out.
const MEMTABLE_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a store of which one keyspace has lost a commit is refused, also the next time.
    #[test]
    fn a_store_whose_keyspaces_disagree_is_refused_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(folder.path(), &DiskConfig::default());
        let (store, _) = open().unwrap();
        store.events.insert(TAIL_KEY, 1_u64.to_be_bytes()).unwrap();
        drop(store);
        assert!(matches!(open(), Err(StoreError::Lost(_))));
        assert!(matches!(open(), Err(StoreError::Lost(_))));
    }

    /// Goal: a log goes on in its epoch only where nothing can be missing from its end.
    #[test]
    fn a_new_epoch_begins_where_something_may_be_missing_and_nowhere_else() {
        let epoch = Epoch::parse("k3f9").unwrap();
        let meta = Meta {
            head: 100,
            group: 7,
            ..Meta::default()
        };
        let found = |durability, state, group, same_boot| {
            let mark = Mark {
                epoch,
                head: 100,
                group,
                durability,
                state,
            };
            Found::Mark { mark, same_boot }
        };
        use Durability::{Always, Interval, None};
        use State::{Closed, Open};
        for (found, is_broken) in [
            (found(Always, Open, 7, false), false),
            (found(Always, Open, 6, false), false),
            (found(Always, Open, 8, false), true),
            (found(Always, Closed, 8, true), true),
            (found(Interval, Open, 7, true), false),
            (found(Interval, Open, 7, false), true),
            (found(Interval, Closed, 7, false), false),
            (found(None, Open, 7, true), false),
            (found(None, Open, 7, false), true),
            (found(None, Closed, 7, false), false),
            (Found::Nothing, true),
            (Found::Unreadable, true),
        ] {
            let reason = broken(&found, meta, epoch);
            assert_eq!(reason.is_some(), is_broken, "{found:?}: {reason:?}");
        }
        let other = Epoch::parse("other").unwrap();
        assert!(broken(&found(Always, Closed, 7, true), meta, other).is_some());
    }
}
