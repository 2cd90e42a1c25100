//! Changed certificate files are taken while the gateway runs.
//!
//! Shape: a task looks at the files every `tls.reload_interval`, and at once when it is [told](Reload). What has changed is
//! read as at a start; new handshakes use it, open connections stay as they are.
//! Unit: a digest of all files, so that a touched but equal file is nothing new.
//! Bound: one look at a time; the files are read whole, as at a start.
//! Failure: a pair that does not fit, or a file that cannot be read, is logged once and counted
//! (`tidewire_tls_reloads_total{outcome="refused"}`); the old pair stays in use. Whoever replaces both files one after the
//! other may be told so, too, before the next look finds both.
//! Source: hazards part 2 row 17.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use tokio::{sync::Notify, task::spawn_blocking, time::timeout};

use super::{Files, Handshakes, TlsError, TlsOptions};
use crate::gateway::Shared;

/// Asks a running gateway to look at its certificate files at once, as SIGHUP does. Clones ask the same gateway.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Looks now. What comes of it stands in the log and in the metrics.
    pub fn now(&self) {
        self.0.notify_one();
    }

    async fn told(&self) {
        self.0.notified().await;
    }
}

/// The files that are looked at, and what was found last.
pub(crate) struct Watch {
    files: Files,
    options: TlsOptions,
    handshakes: Handshakes,
    seen: Seen,
}

/// The digest of all files; `None` where one of them could not be read.
type Seen = Option<[u8; 32]>;

impl Watch {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn open(files: Files, options: TlsOptions) -> Result<(Handshakes, Self), TlsError> {
        // Before they are read: what changes in between is found at the next look.
        let seen = digest(&files, &options);
        let handshakes = Handshakes::new(files.config(&options)?);
        let watch = Self {
            files,
            options,
            handshakes: handshakes.clone(),
            seen,
        };
        Ok((handshakes, watch))
    }

    /// Looks for changes until it is dropped.
    pub(crate) async fn run(mut self, told: Reload, gateway: Shared) {
        let interval: Duration = self.options.reload_interval;
        loop {
            let asked = timeout(interval, told.told()).await.is_ok();
            // The disk may be slow, and a network file system may hang.
            let looked = spawn_blocking(move || {
                let outcome = self.look(asked);
                (self, outcome)
            });
            let Ok((watch, outcome)) = looked.await else {
                return;
            };
            self = watch;
            match outcome {
                Outcome::Unchanged => {}
                Outcome::Taken => {
                    tracing::info!(path = %self.files.cert.display(), "certificate taken");
                    gateway.metrics.certificate_taken();
                }
                Outcome::Refused(why) => {
                    tracing::error!(why, "changed certificate refused; the old one stays in use");
                    gateway.metrics.certificate_refused();
                }
            }
        }
    }

    /// One look. Whoever `asked` hears of a bad pair again, also when it is an old one.
    fn look(&mut self, asked: bool) -> Outcome {
        let seen = digest(&self.files, &self.options);
        if seen == self.seen && !(asked && seen.is_none()) {
            return Outcome::Unchanged;
        }
        self.seen = seen;
        match self.files.config(&self.options) {
            Ok(config) => {
                self.handshakes.change(config);
                Outcome::Taken
            }
            Err(error) => Outcome::Refused(error.to_string()),
        }
    }
}

enum Outcome {
    Unchanged,
    Taken,
    /// Why, for the operator.
    Refused(String),
}

fn digest(files: &Files, options: &TlsOptions) -> Seen {
    let clients = options.clients.as_ref().map(|clients| &clients.ca);
    let all: Vec<&PathBuf> = [&files.cert, &files.key]
        .into_iter()
        .chain(clients)
        .collect();
    let mut digest = Sha256::new();
    for path in all {
        // By itself first, so that no byte can move from one file to the next unseen.
        digest.update(Sha256::digest(fs::read(path).ok()?));
    }
    Some(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::self_signed;

    fn is_refused(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Refused(_))
    }

    #[test]
    fn only_a_pair_that_is_new_and_fits_is_taken() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cert, key) = self_signed::keep(folder.path()).unwrap();
        let files = Files { cert, key };
        let (handshakes, mut watch) = Watch::open(files, TlsOptions::default()).unwrap();
        let (cert, key) = self_signed::keep(other.path()).unwrap();
        let first = handshakes.config();
        assert!(matches!(watch.look(false), Outcome::Unchanged));

        // Half of the new pair, told once.
        fs::copy(&cert, &watch.files.cert).unwrap();
        assert!(is_refused(&watch.look(false)));
        assert!(matches!(watch.look(false), Outcome::Unchanged));
        assert!(Arc::ptr_eq(&first, &handshakes.config()));

        // The other half.
        fs::copy(&key, &watch.files.key).unwrap();
        assert!(matches!(watch.look(false), Outcome::Taken));
        assert!(!Arc::ptr_eq(&first, &handshakes.config()));

        // A file that is gone.
        let second = handshakes.config();
        fs::remove_file(&watch.files.key).unwrap();
        assert!(is_refused(&watch.look(false)));
        assert!(matches!(watch.look(false), Outcome::Unchanged));
        assert!(
            is_refused(&watch.look(true)),
            "whoever asks is told once more"
        );
        assert!(Arc::ptr_eq(&second, &handshakes.config()));
    }
}
