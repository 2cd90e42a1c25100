//! After a commit that failed.
//! Shape: the store that failed is kept for reading; publishers are refused. Where it was for want of
//! space, a probe is written each [`RETRY_AFTER`]; once it succeeds, the store is closed and opened
//! again, which cuts off what was half written. Whether the last group is in it, is known only then.
//! Failure: any other cause, above all a failed sync, stops publishing until a restart: what the system
//! says of a sync that is tried again is not to be believed.
//! Source: hazards, faults 4 and 5.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use super::{Staged, Writer, unknown};
use crate::engine::RETRY_AFTER;
use crate::engine::disk::Durability;
use crate::engine::disk::loaded::Loaded;
use crate::engine::disk::store::{Store, StoreError, is_full};
use crate::engine::feed::{FeedItem, Reservation};
use crate::lock::write;

/// See the module.
pub(super) enum Trouble {
    /// There was no space: the store is opened again once there is.
    Passing {
        /// When it is looked at again.
        next_attempt: Instant,
        /// The group whose commit failed.
        group: UnknownGroup,
    },
    /// Until a restart.
    ForGood,
}

/// It may turn out to be stored.
pub(super) struct UnknownGroup {
    number: u64,
    /// What the feed is told then.
    items: Vec<FeedItem>,
    /// The room that its events have in the feed.
    reservations: Vec<Reservation>,
}

impl Writer {
    /// Takes no more events for now, and says so to those who wait. `items`: what the feed has to be told
    /// if the group turns out to be stored.
    pub(super) fn fail(&mut self, error: &StoreError, items: Vec<FeedItem>, staged: Vec<Staged>) {
        let may_pass = error.is_full() || error.is_of_background() && self.is_background_harmless();
        let Some(loaded) = self.loaded.as_ref().filter(|_| may_pass) else {
            self.fail_for_good(error, staged);
            return;
        };
        tracing::error!(%error, "a commit failed: events are taken again once the disk has space");
        self.shared.set_failure(Some(error.to_string()));
        self.trouble = Some(Trouble::Passing {
            next_attempt: Instant::now() + RETRY_AFTER,
            group: UnknownGroup {
                number: loaded.meta.group + 1,
                items,
                reservations: answer_unknown(staged),
            },
        });
    }

    /// Takes no more events until a restart.
    pub(super) fn fail_for_good(&mut self, error: &StoreError, staged: Vec<Staged>) {
        tracing::error!(%error, "the store failed: no more events are taken until a restart");
        self.shared.set_failure(Some(error.to_string()));
        answer_unknown(staged);
        self.trouble = Some(Trouble::ForGood);
    }

    /// Why the store gave up in its background is not known. Nothing that was acknowledged is at stake where
    /// each answer was synced before; elsewhere it is taken for a full disk only if the disk is full.
    fn is_background_harmless(&self) -> bool {
        self.config.durability == Durability::Always
            || probe(&self.folder).is_err_and(|error| is_full(&error))
    }

    /// Opens the store again, if it is time and there is space.
    pub(super) fn try_again(&mut self, now: Instant) {
        let Some(Trouble::Passing { next_attempt, .. }) = &mut self.trouble else {
            return;
        };
        if now < *next_attempt {
            return;
        }
        *next_attempt = now + RETRY_AFTER;
        if let Err(error) = probe(&self.folder) {
            tracing::debug!(%error, "the disk takes no events yet");
            return;
        }
        match self.open_again() {
            Ok(()) => {
                self.shared.set_failure(None);
                tracing::info!("the store takes events again");
            }
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "the store does not open yet");
            }
            Err(error) => self.fail_for_good(&error, Vec::new()),
        }
    }

    fn open_again(&mut self) -> Result<(), StoreError> {
        // Readers wait here, for as long as the store takes to open.
        let mut slot = write(&self.shared.store);
        let epoch = self.shared.epoch;
        *slot = None;
        self.loaded = None;
        let (store, mark) = Store::open(&self.folder, &self.config)?;
        if store.epoch != epoch {
            let detail = "it has lost its end; a restart goes on in a new epoch";
            return Err(StoreError::Lost(detail.into()));
        }
        let loaded = Loaded::new(store.clone(), mark, &self.config, self.retention.clone())?;
        *slot = Some(store);
        drop(slot);
        if let Some(Trouble::Passing { group, .. }) = self.trouble.take()
            && loaded.meta.group == group.number
        {
            self.shared.set_head(loaded.meta.head);
            let mut events = group.items.iter().filter(|item| item.is_event()).count();
            self.feed.push(group.items);
            for reservation in group.reservations {
                let used = reservation.events().min(events);
                events -= used;
                reservation.used(used);
            }
        }
        self.loaded = Some(loaded);
        Ok(())
    }
}

/// Answers those whose group failed. Gives the room that they had reserved.
fn answer_unknown(staged: Vec<Staged>) -> Vec<Reservation> {
    let mut reservations = Vec::new();
    for request in staged {
        match request {
            Staged::Append {
                answers,
                reservation,
                reply,
                ..
            } => {
                reservations.push(reservation);
                // Nobody waits for the answer any more when this fails.
                let _ = reply.send(answers.iter().map(|_| Err(unknown())).collect());
            }
            Staged::Forget { reply } => {
                let _ = reply.send(Err(unknown()));
            }
        }
    }
    reservations
}

/// Whether there is space for what a start of the store needs.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join("probe");
    let write = |mut file: File| {
        file.write_all(&vec![1; PROBE_BYTES])?;
        file.sync_all()
    };
    let written = File::create(&path).and_then(write);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => written,
    }
}

/// What opening may write before it is done: the memory of both keyspaces.
const PROBE_BYTES: usize = 32 << 20;
