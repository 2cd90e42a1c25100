//! What processes of this machine use, read from `/proc`.
//!
//! Shape: samples; a difference of two is what was used in between. Children count with their parents.
//! Unit: CPU in seconds of user and system time, memory as resident bytes. Bound: CPU in steps of 10 ms.
//! Failure: a process that has ended counts as nothing; a machine without `/proc` has no figures.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// What some processes have used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time since they began, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
}

/// What these processes and their children have used; `None` when none of them is there.
#[must_use]
pub fn usage(processes: &[u32]) -> Option<Usage> {
    let mut usage = Usage::default();
    let mut found = false;
    for process in with_children(processes) {
        let Some(stat) = Stat::read(&format!("/proc/{process}/stat")) else {
            continue;
        };
        found = true;
        usage.cpu_seconds += stat.cpu_seconds;
        usage.resident_bytes += resident_bytes(process).unwrap_or(0);
    }
    found.then_some(usage)
}

/// The process that listens at a loopback address of this machine, where it may be seen.
#[must_use]
pub fn listener(address: SocketAddr) -> Option<u32> {
    if !address.ip().is_loopback() {
        return None;
    }
    let socket = listening_socket(address)?;
    let wanted = format!("socket:[{socket}]");
    numbers("/proc")?.into_iter().find(|process| {
        let handles = fs::read_dir(format!("/proc/{process}/fd"));
        handles.is_ok_and(|handles| {
            let links = handles
                .flatten()
                .filter_map(|entry| fs::read_link(entry.path()).ok());
            links
                .into_iter()
                .any(|link| link.as_os_str() == wanted.as_str())
        })
    })
}

/// Seconds that a thread of this process ran, and waited for a core.
pub(crate) fn thread_seconds(thread: u32) -> Option<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    let mut fields = text
        .split_whitespace()
        .map(|field| field.parse::<u64>().ok());
    let (ran, waited) = (fields.next()??, fields.next()??);
    Some((ran as f64 / 1e9, waited as f64 / 1e9))
}

/// The number of this thread.
pub(crate) fn this_thread() -> Option<u32> {
    let link = fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// CPU seconds of this process.
pub(crate) fn own_cpu_seconds() -> f64 {
    Stat::read("/proc/self/stat").map_or(0.0, |stat| stat.cpu_seconds)
}

/// Seconds that all cores were busy, and that there were, since the machine started.
pub(crate) fn machine_seconds() -> Option<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    let all: f64 = ticks.iter().sum();
    let idle: f64 = ticks.get(3)? + ticks.get(4)?;
    Some(((all - idle) / TICKS_PER_SECOND, all / TICKS_PER_SECOND))
}

/// How many files this process may have open.
#[must_use]
pub fn open_files_max() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// What the machine is, in words, for a report.
#[must_use]
pub fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".into());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let kernel = kernel.trim();
    format!(
        "{cores} cores, {model}, {} GiB, Linux {kernel}",
        memory.div_ceil(1 << 20)
    )
}

struct Stat {
    parent: u32,
    cpu_seconds: f64,
}

impl Stat {
    fn read(path: &str) -> Option<Stat> {
        let text = fs::read_to_string(path).ok()?;
        // The name in parentheses may hold anything; fields are counted behind it.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Stat {
            parent: fields.get(1)?.parse().ok()?,
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        })
    }
}

fn with_children(processes: &[u32]) -> BTreeSet<u32> {
    let mut all: BTreeSet<u32> = processes.iter().copied().collect();
    let parents: Vec<(u32, u32)> = numbers("/proc")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|process| {
            Some((
                process,
                Stat::read(&format!("/proc/{process}/stat"))?.parent,
            ))
        })
        .collect();
    loop {
        let before = all.len();
        let children = parents.iter().filter(|(_, parent)| all.contains(parent));
        let children: Vec<u32> = children.map(|(process, _)| *process).collect();
        all.extend(children);
        if all.len() == before {
            return all;
        }
    }
}

fn resident_bytes(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The inode of the socket that listens there, or at the address that stands for all.
fn listening_socket(address: SocketAddr) -> Option<u64> {
    let IpAddr::V4(ip) = address.ip() else {
        return None;
    };
    let text = fs::read_to_string("/proc/net/tcp").ok()?;
    let at = |ip: Ipv4Addr| {
        let ip = u32::from_ne_bytes(ip.octets());
        format!("{ip:08X}:{:04X}", address.port())
    };
    let wanted = [at(ip), at(Ipv4Addr::UNSPECIFIED)];
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = wanted
            .iter()
            .any(|local| fields.get(1) == Some(&local.as_str()));
        let listens = fields.get(3) == Some(&"0A");
        (is_it && listens).then(|| fields.get(9)?.parse().ok())?
    })
}

fn numbers(folder: &str) -> Option<Vec<u32>> {
    let entries = fs::read_dir(folder).ok()?;
    let names = entries.flatten().map(|entry| entry.file_name());
    Some(
        names
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect(),
    )
}

/// What Linux counts in for user space on every machine that it is built for today.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, process::Command};

    use super::*;

    #[test]
    fn a_process_and_its_children_are_seen() {
        let own = usage(&[std::process::id()]).unwrap();
        assert!(own.resident_bytes > 0);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(with_children(&[std::process::id()]).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(usage(&[child.id()]), None);
    }

    #[test]
    fn who_listens_is_found() {
        let listener_socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener_socket.local_addr().unwrap();
        assert_eq!(listener(address), Some(std::process::id()));
        drop(listener_socket);
        assert_eq!(listener(address), None);
    }

    #[test]
    fn threads_and_the_machine_have_figures() {
        let thread = this_thread().unwrap();
        assert!(thread_seconds(thread).is_some());
        let (busy, all) = machine_seconds().unwrap();
        assert!(busy <= all);
        assert!(machine().contains("cores"));
        assert!(open_files_max().is_some());
    }
}
