//! What the gateway's process has taken so far, out of `/proc`, and what its folder has.

use std::fs;
use std::path::Path;

use tidewire_tests::Executable;

use crate::Failure;

/// At one moment.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Resident memory.
    pub(crate) resident_bytes: u64,
    /// User and system time since it started.
    pub(crate) cpu_seconds: f64,
}

impl Cost {
    pub(crate) fn of(gateway: &Executable) -> Result<Self, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", gateway.pid()))?;
        // The second field is the name in brackets, which may have anything in it; utime is the 14th.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc has another shape")?;
        let ticks = |index: usize| -> Result<f64, Failure> {
            let field = fields
                .split_whitespace()
                .nth(index)
                .ok_or("/proc is short")?;
            Ok(field.parse()?)
        };
        Ok(Self {
            resident_bytes: gateway.memory().0,
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        })
    }
}

/// What the files of a folder take up on the disk, like `du`.
pub(crate) fn folder_bytes(folder: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt as _;

    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // The store drops files while they are counted.
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += folder_bytes(&entry.path())?,
            Ok(metadata) => bytes += metadata.blocks() * 512,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// `USER_HZ`, the same on every Linux that we know.
const TICKS_PER_SECOND: f64 = 100.0;
