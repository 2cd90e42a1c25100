//! The head mark: a small file beside the store that says how far the log has come.
//! Shape: one line of text of [`MARK_BYTES`] bytes, written over in place after each commit and before
//! its answer. It is what shows that the store has lost its end: a journal that was damaged opens as a
//! shorter one. It also tells a copy of the folder, and a machine that went down, from the original.
//! Failure: a mark that is missing or cannot be read proves nothing, so the log goes on in a new epoch.
//! An operator who has put back an older state of the whole disk deletes the file, to the same end.
//! Source: architecture, "Engines"; hazards, faults 3 and 16.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};
use tidewire_protocol::Epoch;

use super::Durability;
use super::record::FORMAT;

/// What the mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: Epoch,
    /// The newest place that was acknowledged.
    pub(super) head: u64,
    /// The newest group that was committed.
    pub(super) group: u64,
    /// Under which promise.
    pub(super) durability: Durability,
    pub(super) state: State,
}

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In use, or its gateway ended without closing it.
    Open,
    /// Everything was synced and closed.
    Closed,
    /// It was found to have lost something in its middle.
    Damaged,
}

/// What was found where the mark should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No file.
    Nothing,
    /// A mark that was written here. `same_boot`: the machine has not been down since.
    Mark { mark: Mark, same_boot: bool },
    /// A mark that was written elsewhere: the folder is a copy.
    Copy(Mark),
    /// Not a mark.
    Unreadable,
    /// The mark of another version.
    Format(u64),
}

/// The file.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: File,
    /// When the file was made, which no copy keeps; 0 where the file system does not tell.
    born_ns: u128,
    boot: String,
}

impl MarkFile {
    /// Opens the mark in this folder and reads it. A file that is not there is made by [`Self::write`]
    /// alone, so that nothing of another format is written over.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Found)> {
        let path = folder.join(MARK_NAME);
        let is_new = !path.try_exists()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if is_new {
            File::open(folder)?.sync_all()?;
        }
        let born = file.metadata()?.created().ok();
        let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let mark = Self {
            file,
            born_ns: born.map_or(0, |born| born.as_nanos()),
            boot: std::fs::read_to_string(BOOT_ID)
                .map_or_else(|_| "unknown".to_owned(), |boot| boot.trim().to_owned()),
        };
        let mut text = vec![0; MARK_BYTES];
        let length = mark.file.read_at(&mut text, 0)?;
        text.truncate(length);
        let found = if text.is_empty() {
            Found::Nothing
        } else {
            mark.parse(&text)
        };
        Ok((mark, found))
    }

    /// Writes the mark over. It is in the hands of the system then; see [`Self::sync`].
    pub(super) fn write(&self, mark: &Mark) -> io::Result<()> {
        self.file.write_all_at(self.text(mark).as_bytes(), 0)
    }

    /// Waits until the mark stands on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn text(&self, mark: &Mark) -> String {
        let durability = mark.durability.as_str();
        let state = mark.state.as_str();
        let (epoch, head, group) = (mark.epoch, mark.head, mark.group);
        let (born, boot) = (self.born_ns, &self.boot);
        let mut text = format!(
            "{NAME}format={FORMAT} epoch={epoch} head={head} group={group} durability={durability} \
             state={state} born={born} boot={boot}"
        );
        let check = check(&text);
        write!(text, " check={check}").expect("a String takes everything");
        format!("{text:<width$}\n", width = MARK_BYTES - 1)
    }

    fn parse(&self, text: &[u8]) -> Found {
        self.read(text).unwrap_or(Found::Unreadable)
    }

    fn read(&self, text: &[u8]) -> Option<Found> {
        let text = std::str::from_utf8(text).ok()?.trim_end();
        let members: HashMap<&str, &str> = text
            .strip_prefix(NAME)?
            .split(' ')
            .filter_map(|member| member.split_once('='))
            .collect();
        let number = |name| members.get(name)?.parse::<u64>().ok();
        let format = number("format")?;
        if format != FORMAT {
            return Some(Found::Format(format));
        }
        let (checked, written) = text.rsplit_once(" check=")?;
        if check(checked) != written {
            return None;
        }
        let mark = Mark {
            epoch: Epoch::parse(members.get("epoch")?).ok()?,
            head: number("head")?,
            group: number("group")?,
            durability: Durability::parse(members.get("durability")?)?,
            state: State::parse(members.get("state")?)?,
        };
        if *members.get("born")? != self.born_ns.to_string() {
            return Some(Found::Copy(mark));
        }
        let boot = *members.get("boot")?;
        Some(Found::Mark {
            mark,
            same_boot: boot == self.boot && boot != "unknown",
        })
    }
}

impl State {
    const ALL: [Self; 3] = [Self::Open, Self::Closed, Self::Damaged];

    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Damaged => "damaged",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Sixteen hexadecimal digits of SHA-256.
fn check(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest[..8].iter().fold(String::new(), |mut check, byte| {
        write!(check, "{byte:02x}").expect("a String takes everything");
        check
    })
}

/// The file's name in the folder of the log.
pub(super) const MARK_NAME: &str = "head";
/// The length of the line, its end included: within one sector, so that it is written as a whole.
const MARK_BYTES: usize = 384;
const NAME: &str = "tidewire-log ";
/// Changes each time the machine starts.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(test)]
mod tests {
    use super::*;

    fn some_mark() -> Mark {
        Mark {
            epoch: Epoch::parse("k3f9abcd").unwrap(),
            head: u64::MAX,
            group: u64::MAX,
            durability: Durability::Interval,
            state: State::Damaged,
        }
    }

    #[test]
    fn a_mark_is_read_back_and_one_with_any_byte_changed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, found) = MarkFile::open(folder.path()).unwrap();
        assert_eq!(found, Found::Nothing);
        let mark = some_mark();
        file.write(&mark).unwrap();
        let path = folder.path().join(MARK_NAME);
        let text = std::fs::read(&path).unwrap();
        assert_eq!(
            text.len(),
            MARK_BYTES,
            "the longest values fit into the line"
        );

        let found = MarkFile::open(folder.path()).unwrap().1;
        let same_boot = true;
        assert_eq!(found, Found::Mark { mark, same_boot });
        for place in 0..text.trim_ascii_end().len() {
            let mut changed = text.clone();
            changed[place] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let found = MarkFile::open(folder.path()).unwrap().1;
            let told = matches!(found, Found::Unreadable | Found::Format(_));
            assert!(told, "byte {place}: {found:?}");
            std::fs::write(&path, &text[..place]).unwrap();
            let found = MarkFile::open(folder.path()).unwrap().1;
            let told = matches!(found, Found::Unreadable | Found::Nothing);
            assert!(told, "cut at {place}: {found:?}");
        }
    }

    #[test]
    fn a_copy_of_the_folder_is_told_from_the_original() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = MarkFile::open(folder.path()).unwrap();
        file.write(&some_mark()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        let name = |folder: &Path| folder.join(MARK_NAME);
        std::fs::copy(name(folder.path()), name(copy.path())).unwrap();
        let found = MarkFile::open(copy.path()).unwrap().1;
        assert_eq!(found, Found::Copy(some_mark()));
    }

    #[test]
    fn the_mark_of_another_version_is_told_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let text = "tidewire-log format=77 something=new";
        std::fs::write(folder.path().join(MARK_NAME), text).unwrap();
        assert_eq!(MarkFile::open(folder.path()).unwrap().1, Found::Format(77));
    }
}
