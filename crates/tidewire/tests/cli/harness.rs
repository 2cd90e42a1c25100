//! Runs the executable: each gateway has port 0 and a folder of its own.
//!
//! Shape: lines come from threads and are awaited; dropping a run kills it.
//! Bound: `DEADLINE` for every wait, only to catch a hang.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// The executable in this folder, without variables of the machine that it would read.
pub(crate) fn tidewire(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    command.current_dir(folder).args(arguments);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEWIRE_")) {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end; it must end soon.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    finish(Running::start(tidewire(folder, arguments)))
}

pub(crate) fn finish(mut running: Running) -> Output {
    let status = running.wait();
    let drain = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect::<String>();
    Output {
        status,
        stdout: drain(&running.stdout).into_bytes(),
        stderr: drain(&running.stderr).into_bytes(),
    }
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The first line of standard error of a start that must fail.
pub(crate) fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(!output.status.success());
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr).lines().next().unwrap().to_owned()
}

/// A running executable, killed when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Receiver<String>,
    pub(crate) stderr: Receiver<String>,
    /// Disconnected once both outputs have ended.
    outputs: Receiver<()>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (open, outputs) = channel();
        Running {
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take().unwrap(), open.clone()),
            stderr: lines(child.stderr.take().unwrap(), open),
            outputs,
            child,
        }
    }

    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            let told: Vec<String> = self.stderr.try_iter().collect();
            panic!("no line on standard output; standard error: {told:#?}")
        })
    }

    pub(crate) fn told(&self, part: &str) -> String {
        loop {
            let line = self.stderr.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("standard error never said {part:?}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let ended = self.outputs.recv_timeout(DEADLINE);
        assert_eq!(
            ended,
            Err(RecvTimeoutError::Disconnected),
            "it does not end"
        );
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of an output; `open` is dropped at its end.
pub(crate) fn lines(input: impl Read + Send + 'static, open: Sender<()>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let _open = open;
        for line in BufReader::new(input).lines().map_while(Result::ok) {
            // Read on when nobody listens any more: the pipe must not fill up.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A gateway on a free port.
pub(crate) struct Gateway {
    pub(crate) folder: TempDir,
    pub(crate) running: Running,
    pub(crate) url: String,
    /// Everything that the start printed after the addresses.
    pub(crate) announcement: Vec<String>,
}

impl Gateway {
    pub(crate) fn start(arguments: &[&str]) -> Gateway {
        let folder = TempDir::new().unwrap();
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        all.extend(arguments);
        let running = Running::start(tidewire(folder.path(), &all));
        let ready = running.line();
        let url = ready.strip_prefix("ready ").unwrap().to_owned();
        assert!(running.line().starts_with("admin http://127.0.0.1:"));
        let mut announcement = Vec::new();
        while !announcement
            .iter()
            .any(|line: &String| line.starts_with("Live data:"))
        {
            announcement.push(running.line());
        }
        Gateway {
            folder,
            running,
            url,
            announcement,
        }
    }

    /// Ends it and gives its folder.
    pub(crate) fn stop(mut self) -> TempDir {
        self.running.signal("TERM");
        assert!(self.running.wait().success());
        self.folder
    }

    /// A client command against this gateway, in its folder: there it finds the certificate by itself.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tidewire(self.folder.path(), arguments);
        command.args(["--url", &self.url]);
        command
    }

    pub(crate) fn publish(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["publish"];
        all.extend(arguments);
        finish(Running::start(self.command(&all)))
    }
}

/// Only catches a hang.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
