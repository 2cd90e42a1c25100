//! The processes of one running peer.
//!
//! Shape: each process leads a group of its own, so that what it started ends with it. What it says goes to `output.log`
//! in the peer's folder.
//! Bound: it takes connections within `READY` or has not started; it ends within `STOP` of SIGTERM or is killed.
//! Failure: dropping it ends everything that still runs, in the same way.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::Failure;

/// A peer that takes connections.
pub(crate) struct Server {
    /// Where subscribers connect.
    pub(crate) subscribe: SocketAddr,
    /// Where events are published; over TLS at the same address, but for Pushpin.
    pub(crate) publish_url: String,
    processes: Vec<Child>,
}

impl Server {
    /// Where subscribers connect, as a URL.
    pub(crate) fn subscribe_url(&self) -> String {
        format!("https://{}", self.subscribe)
    }

    /// Nothing runs yet.
    pub(crate) fn at(subscribe: SocketAddr) -> Self {
        Self {
            subscribe,
            publish_url: format!("https://{subscribe}"),
            processes: Vec::new(),
        }
    }

    /// One more process. The first is the one that is measured, with all that it starts.
    pub(crate) fn spawn(&mut self, folder: &Path, command: &mut Command) -> Result<(), Failure> {
        let said = File::options()
            .create(true)
            .append(true)
            .open(output(folder))?;
        let name = command.as_std().get_program().to_owned();
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{}: {error}", name.display()))?;
        self.processes.push(child);
        Ok(())
    }

    /// Waits until something listens at this address.
    pub(crate) async fn ready(&mut self, folder: &Path, at: SocketAddr) -> Result<(), Failure> {
        let listens = async {
            while TcpStream::connect(at).await.is_err() {
                for child in &mut self.processes {
                    if let Some(status) = child.try_wait()? {
                        return Err(format!("it ended, {status}").into());
                    }
                }
                sleep(ASK_AGAIN).await;
            }
            Ok::<_, Failure>(())
        };
        let found = timeout(READY, listens).await;
        let found = found.unwrap_or_else(|_elapsed| Err(format!("nothing listens at {at}").into()));
        found.map_err(|error| {
            let said = std::fs::read_to_string(output(folder)).unwrap_or_default();
            format!("{error}: {}", said.trim_end()).into()
        })
    }

    /// The process whose time and memory count, its children with it.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.processes.first()?.id()
    }

    /// SIGTERM, and waits until all have ended.
    pub(crate) async fn stop(mut self) {
        for child in &mut self.processes {
            signal("TERM", child);
            let _ = timeout(STOP, child.wait()).await;
            // Nothing, where it has ended.
            signal("KILL", child);
        }
    }
}

impl Drop for Server {
    /// Only where the run was interrupted does anything run here. SIGTERM comes first: Pushpin's services have groups of
    /// their own, and only it ends them.
    fn drop(&mut self) {
        for child in &mut self.processes {
            signal("TERM", child);
            let until = Instant::now() + STOP;
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
                std::thread::sleep(ASK_AGAIN);
            }
            signal("KILL", child);
        }
    }
}

/// To the whole group. A group that is gone is no failure.
fn signal(name: &str, child: &Child) {
    if let Some(pid) = child.id() {
        let _ = std::process::Command::new("kill")
            .args([&format!("-{name}"), "--", &format!("-{pid}")])
            .stderr(Stdio::null())
            .status();
    }
}

/// An address that nobody has now.
pub(crate) fn free() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn output(folder: &Path) -> PathBuf {
    folder.join("output.log")
}

const READY: Duration = Duration::from_secs(15);
const STOP: Duration = Duration::from_secs(12);
const ASK_AGAIN: Duration = Duration::from_millis(50);
