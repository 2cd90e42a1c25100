//! The texts of `/proc` as numbers.
//!
//! Shape: one function for each file; a line that does not fit is left out. Unit: clock ticks and bytes.

use std::{collections::BTreeMap, fs, io};

/// Clock ticks of one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy {
    pub(crate) busy: u64,
    pub(crate) all: u64,
}

/// Bytes of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) ticks: u64,
}

/// `cpu0 user nice system idle iowait …`: idle and iowait are not busy.
pub(crate) fn cores(stat: &str) -> BTreeMap<String, Busy> {
    let core = |line: &str| {
        let (name, figures) = line.strip_prefix("cpu")?.split_once(' ')?;
        let figures: Vec<u64> = figures
            .split_whitespace()
            .take(8)
            .filter_map(|figure| figure.parse().ok())
            .collect();
        let all: u64 = figures.iter().sum();
        let idle: u64 = figures.iter().skip(3).take(2).sum();
        let busy = Busy {
            busy: all - idle,
            all,
        };
        (!name.is_empty()).then(|| (name.to_owned(), busy))
    };
    stat.lines().filter_map(core).collect()
}

/// `eth0: bytes packets … (8 figures in) bytes …`.
pub(crate) fn interfaces(dev: &str) -> BTreeMap<String, Traffic> {
    let interface = |line: &str| {
        let (name, figures) = line.split_once(':')?;
        let figures: Vec<u64> = figures
            .split_whitespace()
            .filter_map(|figure| figure.parse().ok())
            .collect();
        let traffic = Traffic {
            received: *figures.first()?,
            sent: *figures.get(8)?,
        };
        Some((level(name.trim()), traffic))
    };
    dev.lines().filter_map(interface).collect()
}

/// A name as one level of a topic.
fn level(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-:@=~".contains(c);
    name.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

/// `MemTotal:  16384 kB`, in bytes.
pub(crate) fn memory(meminfo: &str) -> BTreeMap<String, u64> {
    let figure = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let kilobytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
        Some((name.to_owned(), kilobytes * 1024))
    };
    meminfo.lines().filter_map(figure).collect()
}

pub(crate) fn processes() -> io::Result<BTreeMap<u32, Process>> {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let pid = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        // A process may be gone between the listing and the reading.
        if let Some(pid) = pid
            && let Ok(stat) = fs::read_to_string(path.join("stat"))
            && let Some(process) = process(&stat)
        {
            processes.insert(pid, process);
        }
    }
    Ok(processes)
}

/// `pid (name) state … utime stime …`; the name itself may hold parentheses and blanks.
fn process(stat: &str) -> Option<Process> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let figures: Vec<&str> = rest.split_whitespace().collect();
    let user: u64 = figures.get(11)?.parse().ok()?;
    let system: u64 = figures.get(12)?.parse().ok()?;
    Some(Process {
        name: name.into(),
        ticks: user + system,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_figures_are_read() {
        let cores = cores("cpu  9 9 9 9 9\ncpu0 10 0 5 80 5 0 0 0 0 0\nintr 1\n");
        assert_eq!(cores.len(), 1);
        assert_eq!(cores["0"], Busy { busy: 15, all: 100 });
    }

    #[test]
    fn the_interface_figures_are_read_and_named_as_one_level() {
        let dev = "Inter-| Receive\n face |bytes\n eth0.5: 7 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n";
        let traffic = interfaces(dev)["eth0_5"];
        assert_eq!((traffic.received, traffic.sent), (7, 9));
    }

    #[test]
    fn a_process_with_an_odd_name_is_read() {
        let stat = "7 (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 30 12 0 0 20 0 1 0";
        let process = process(stat).unwrap();
        assert_eq!((process.name.as_str(), process.ticks), ("a) b (c", 42));
    }
}
