//! The keyspaces of one data folder, and what is done when it is opened.
//! Failure: a folder that another process holds, a newer format or a damaged record is an
//! [`OpenError`]; nothing is written before all of that has been checked.

use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use tidewire_protocol::Epoch;

use super::DiskConfig;
use super::record::{self, Damaged, Meta};
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
    /// The operator's matter: start the newer version, or use another folder.
    #[error(
        "{} was written in format {found}; this version reads up to format {}",
        .folder.display(), record::FORMAT
    )]
    NewerFormat {
        /// Which folder.
        folder: PathBuf,
        /// The format that stands there.
        found: u64,
    },
    /// The store does not open, or is not what was written.
    #[error("the store in {} is damaged: {detail}", .folder.display())]
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
    Damaged(#[from] Damaged),
    #[error("written in format {0}")]
    NewerFormat(u64),
}

/// The keyspaces. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) db: Database,
    pub(super) events: Keyspace,
    pub(super) index: Keyspace,
    pub(super) topics: Keyspace,
    pub(super) expiry: Keyspace,
    pub(super) keys: Keyspace,
    pub(super) meta: Keyspace,
    pub(super) epoch: Epoch,
}

impl Store {
    /// Opens or makes the store in this folder.
    pub(super) fn open(folder: &Path, config: &DiskConfig) -> Result<Self, OpenError> {
        std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder {
            folder: folder.into(),
            source,
        })?;
        let opened = Self::keyspaces(folder, config);
        let (store, epoch) = opened.map_err(|error| explain(folder, error))?;
        match epoch {
            Some(epoch) => Ok(Self { epoch, ..store }),
            None => {
                let epoch = store.begin().map_err(|error| explain(folder, error))?;
                Ok(Self { epoch, ..store })
            }
        }
    }

    fn keyspaces(folder: &Path, config: &DiskConfig) -> Result<(Self, Option<Epoch>), StoreError> {
        let db = Database::builder(folder)
            .cache_size(config.cache_bytes)
            .worker_threads(1)
            .open()?;
        let keyspace = |name| db.keyspace(name, KeyspaceCreateOptions::default);
        let meta = keyspace("meta")?;
        if let Some(value) = meta.get(FORMAT_KEY)? {
            let found = record::parse_place(&value)?;
            if found > record::FORMAT {
                return Err(StoreError::NewerFormat(found));
            }
        }
        let epoch = match meta.get(EPOCH_KEY)? {
            Some(value) => {
                let text = std::str::from_utf8(&value).map_err(|_| Damaged("meta"))?;
                Some(Epoch::parse(text).map_err(|_| Damaged("meta"))?)
            }
            None => None,
        };
        let store = Self {
            events: keyspace("events")?,
            index: keyspace("index")?,
            topics: keyspace("topics")?,
            expiry: keyspace("expiry")?,
            keys: keyspace("keys")?,
            meta,
            db,
            epoch: epoch::random(),
        };
        Ok((store, epoch))
    }

    /// Makes a log of a new epoch out of an empty store. A store that has events but no epoch has lost
    /// a part of itself.
    fn begin(&self) -> Result<Epoch, StoreError> {
        if !self.events.is_empty()? || !self.topics.is_empty()? {
            return Err(Damaged("meta").into());
        }
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.meta, FORMAT_KEY, record::FORMAT.to_be_bytes());
        batch.insert(&self.meta, EPOCH_KEY, self.epoch.as_str());
        batch.insert(&self.meta, META_KEY, Meta::default().to_bytes());
        batch.commit()?;
        Ok(self.epoch)
    }

    /// Nothing may stand in the log beyond its head: places would be given twice.
    pub(super) fn check_head(&self) -> Result<(), StoreError> {
        let snapshot = self.db.snapshot();
        let head = self.meta(&snapshot)?.head;
        let newest = snapshot.last_key_value(&self.events);
        let newest = newest.map(|guard| Ok::<_, StoreError>(record::parse_place(&guard.key()?)?));
        match newest.transpose()? {
            Some(newest) if newest > head => Err(Damaged("meta").into()),
            _ => Ok(()),
        }
    }

    /// The log as a whole, at the moment of the snapshot.
    pub(super) fn meta(&self, snapshot: &Snapshot) -> Result<Meta, StoreError> {
        let value = snapshot.get(&self.meta, META_KEY)?.ok_or(Damaged("meta"))?;
        Ok(Meta::parse(&value)?)
    }

    /// The idempotency keys that are still in their window.
    pub(super) fn load_keys(&self, config: &DiskConfig) -> Result<Keys, StoreError> {
        let now_ms = config.clock.now_ms();
        let mut found = Vec::new();
        for guard in self.keys.iter() {
            let (name, value) = guard.into_inner()?;
            found.push(record::parse_first_publish(&name, &value)?);
        }
        found.sort_unstable_by_key(|(_, first)| first.place);
        let mut keys = Keys::new(config.idempotency_window);
        for (name, first) in found {
            keys.remember(name, first);
        }
        for name in keys.expire(now_ms) {
            self.keys.remove(name)?;
        }
        Ok(keys)
    }
}

/// What the operator can do about it.
pub(super) fn explain(folder: &Path, error: StoreError) -> OpenError {
    let folder = folder.to_path_buf();
    match error {
        StoreError::Fjall(fjall::Error::Locked) => OpenError::Locked(folder),
        StoreError::Fjall(fjall::Error::Io(source)) => OpenError::Folder { folder, source },
        StoreError::Fjall(fjall::Error::Storage(storage)) => OpenError::Damaged {
            folder,
            detail: format!("{storage:?}"),
        },
        StoreError::NewerFormat(found) => OpenError::NewerFormat { folder, found },
        error @ (StoreError::Fjall(_) | StoreError::Damaged(_)) => OpenError::Damaged {
            folder,
            detail: error.to_string(),
        },
    }
}

const FORMAT_KEY: &str = "format";
const EPOCH_KEY: &str = "epoch";
/// The log's [`Meta`].
pub(super) const META_KEY: &str = "log";
/// The retention rules under which the store was last written.
pub(super) const RETENTION_KEY: &str = "retention";
