//! Whether opening the store has cut one of its journals short.
//! Shape: the store's library drops what follows damage in a journal and goes on. Behind the newest
//! journal that loses the end of the log, which the head mark shows. In an older one, which was synced
//! as a whole when it was closed, it loses a part of the middle: that is found here, by its length.
//! Source: fjall issue 311.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The older journals, as they were before the store was opened.
pub(super) struct Journals(Vec<Journal>);

struct Journal {
    number: u64,
    /// Kept open: its length can be asked for after it was removed.
    file: File,
    /// Where its data ended; what follows in a new journal is zeros.
    end: u64,
}

impl Journals {
    /// Looks at the older journals in this folder.
    pub(super) fn before_opening(folder: &Path) -> io::Result<Self> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".jnl"));
            if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
                found.insert(number, entry.path());
            }
        }
        // The newest is still written to: its end may be torn.
        found.pop_last();
        let journals = found.into_iter().map(|(number, path)| {
            let file = File::open(path)?;
            let end = end_of_data(&file)?;
            Ok(Journal { number, file, end })
        });
        journals.collect::<io::Result<_>>().map(Self)
    }

    /// What opening the store has cut, if anything.
    pub(super) fn cut(&self) -> io::Result<Option<String>> {
        for Journal { number, file, end } in &self.0 {
            let length = file.metadata()?.len();
            if length < *end {
                return Ok(Some(format!(
                    "the journal {number}.jnl can only be read up to byte {length} of {end}"
                )));
            }
        }
        Ok(None)
    }
}

/// Where the last byte stands that is not zero.
fn end_of_data(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut part = vec![0; PART_BYTES];
    while end > 0 {
        let length = part.len().min(usize::try_from(end).unwrap_or(usize::MAX));
        let begin = end - length as u64;
        file.read_exact_at(&mut part[..length], begin)?;
        if let Some(last) = part[..length].iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

const PART_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_journal_that_lost_data_is_told_and_one_that_lost_zeros_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut data = vec![7; 100_000];
        data.resize(300_000, 0);
        for name in ["8.jnl", "9.jnl", "10.jnl", "other"] {
            std::fs::write(path(name), &data).unwrap();
        }
        let cut_to = |name: &str, length| {
            let file = File::options().write(true).open(path(name)).unwrap();
            file.set_len(length).unwrap();
        };
        let journals = Journals::before_opening(folder.path()).unwrap();
        cut_to("8.jnl", 100_000);
        cut_to("10.jnl", 5);
        assert_eq!(journals.cut().unwrap(), None);
        cut_to("9.jnl", 99_999);
        std::fs::remove_file(path("9.jnl")).unwrap();
        assert!(journals.cut().unwrap().unwrap().contains("9.jnl"));
    }
}
