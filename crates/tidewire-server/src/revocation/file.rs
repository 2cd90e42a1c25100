//! The file of the revocations.
//!
//! Shape: one JSON object in `DATA-DIR/revocations.json`, written as a whole beside it, synced, and put in its place.
//! Unit: all that are in force.
//! Bound: `revocations.max` entries.
//! Failure: a file that cannot be read stops the start and is named; whatever happens while it is written, the file is the
//! old one or the new one.
//! Source: hazards part 1 row 9.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::Revocation;

/// What is wrong with the file. The operator's to mend.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub(crate) struct FileError {
    path: PathBuf,
    source: io::Error,
}

/// Where they are kept; `None`: nowhere.
#[derive(Debug, Default)]
pub(super) struct File(Option<PathBuf>);

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    revocations: Vec<Revocation>,
}

impl File {
    pub(super) fn in_folder(folder: Option<PathBuf>) -> Self {
        Self(folder.map(|folder| folder.join("revocations.json")))
    }

    /// All that it has; nothing where there is no file.
    pub(super) fn read(&self) -> Result<Vec<Revocation>, FileError> {
        let Some(path) = &self.0 else {
            return Ok(Vec::new());
        };
        let failed = |source| FileError {
            path: path.clone(),
            source,
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
        match content.version {
            VERSION => Ok(content.revocations),
            other => {
                let why = format!("version {other} of this file is not known; {VERSION} is");
                Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)))
            }
        }
    }

    /// Writes all of them. Once this has returned they survive a loss of power.
    ///
    /// # Cancel safety
    /// A dropped call is still carried out.
    pub(super) async fn write(&self, revocations: Vec<Revocation>) -> Result<(), FileError> {
        let Some(path) = self.0.clone() else {
            return Ok(());
        };
        let written = spawn_blocking({
            let path = path.clone();
            move || write(&path, revocations)
        });
        let written = written
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|source| FileError { path, source })
    }
}

fn write(path: &Path, revocations: Vec<Revocation>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let content = Content {
        version: VERSION,
        revocations,
    };
    let fresh = path.with_extension("json.new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // It names subjects.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, OWNER_ONLY);
    let mut file = options.open(&fresh)?;
    file.write_all(&serde_json::to_vec(&content)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The name is in the folder, and the folder has to reach the disk too.
    fs::File::open(folder)?.sync_all()
}

const VERSION: u32 = 1;
#[cfg(unix)]
const OWNER_ONLY: u32 = 0o600;
