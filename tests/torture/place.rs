//! Where the server lives: a small file system that can be filled, and a clock that can be moved.
//! Shape: a tmpfs in a mount namespace of our own, so that it is gone with the process whatever ends it; a file from
//! which libfaketime reads how far the wall clock is off, while the monotonic one goes on.
//! Failure: what the machine does not permit is said aloud and left out.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidewire_tests::Launch;

/// The folder of the server's data.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    /// It is a file system of its own.
    is_small: bool,
}

impl Disk {
    /// Mounts one of so many megabytes, or makes a plain folder.
    pub(crate) fn new(folder: PathBuf, megabytes: u64) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder");
        let is_small = std::env::var_os(NAMESPACE).is_some() && mount(&folder, megabytes);
        if !is_small {
            println!("left out: disk full (a tmpfs cannot be mounted here)");
        }
        Self { folder, is_small }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn can_be_full(&self) -> bool {
        self.is_small
    }

    /// Takes all the room that is left. Called again it takes what has come free.
    pub(crate) fn fill(&self) {
        let mut options = File::options();
        let filler = options.create(true).append(true).open(self.filler());
        let Ok(mut filler) = filler else { return };
        let zeros = [0; 4096];
        let chunk = vec![0; 1 << 20];
        // Large pieces first, then whatever is left.
        while filler.write_all(&chunk).is_ok() {}
        while filler.write_all(&zeros).is_ok() {}
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        let _ = std::fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

/// Goes on in a mount namespace, as the same process, where that is permitted. Without root it takes a user
/// namespace too.
pub(crate) fn enter_namespace() {
    if std::env::var_os(NAMESPACE).is_some() {
        return;
    }
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    for way in ways {
        let probe = Command::new("unshare")
            .args(way)
            .args(["sh", "-c", "mount -t tmpfs tmpfs /tmp"])
            .output();
        if !probe.is_ok_and(|probe| probe.status.success()) {
            continue;
        }
        let Ok(this) = std::env::current_exe() else {
            return;
        };
        let error = Command::new("unshare")
            .args(way)
            .arg(this)
            .args(std::env::args_os().skip(1))
            .env(NAMESPACE, "1")
            .exec();
        println!("unshare: {error}");
    }
}

fn mount(folder: &Path, megabytes: u64) -> bool {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
        .arg(folder)
        .status();
    mounted.is_ok_and(|status| status.success())
}

/// The server's wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// `None` where the library is not installed.
    pub(crate) fn new(file: PathBuf) -> Option<Self> {
        let Some(library) = library() else {
            println!("left out: clock jumps (no libfaketime here; Debian's package is faketime)");
            return None;
        };
        let clock = Self { library, file };
        clock.set_minutes(0);
        Some(clock)
    }

    /// How far it is from the real time. Counts at once.
    pub(crate) fn set_minutes(&self, minutes: i32) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{minutes:+}m\n")).expect("the folder of the run takes files");
        std::fs::rename(&new, &self.file).expect("a rename in one folder");
    }

    /// Makes a start follow this clock.
    pub(crate) fn follow(&self, launch: &mut Launch) {
        launch.environment("LD_PRELOAD", &self.library);
        launch.environment("FAKETIME_TIMESTAMP_FILE", &self.file);
        launch.environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        launch.environment("FAKETIME_NO_CACHE", "1");
    }
}

/// The build for programs with threads, wherever the distribution puts it.
fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
    let mut found = folders.iter().flat_map(|folder| {
        let below = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let below = below.map(|entry| entry.path());
        below.chain([PathBuf::from(folder)])
    });
    found.find_map(|folder| {
        let library = folder.join("faketime/libfaketimeMT.so.1");
        library.is_file().then_some(library)
    })
}

/// Set for the process that runs in the namespace.
const NAMESPACE: &str = "TORTURE_NAMESPACE";
