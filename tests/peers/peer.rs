//! The peers: what each is, which version it has, whether it is there.
//!
//! Shape: a [`Peer`] is a server with one configuration; `peer/start.rs` starts it.
//! Failure: what is not installed is told by [`Peer::missing`] and not started.

mod start;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::transport::Transport;

/// A server with one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The gateway with the memory engine, which keeps what the peers keep.
    Tidewire,
    /// The gateway as it starts without any configuration: every event is on the disk before it is answered.
    TidewireDisk,
    /// As the first, but subscribers of a hot topic are woken once in [`FLUSH_INTERVAL`].
    TidewireFlush,
    Nchan,
    Nats,
    Ws,
    SocketIo,
    Pushpin,
}

/// Where the parts of a run lie.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// `tests/peers`: configurations and Node servers.
    pub(crate) sources: PathBuf,
    /// `cert.pem`, `key.pem`, and a folder for each start.
    pub(crate) work: PathBuf,
    /// The gateway's release binary.
    pub(crate) tidewire: PathBuf,
}

impl Places {
    /// The one certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.work.join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.work.join("key.pem")
    }
}

impl Peer {
    /// In the order of the tables.
    pub(crate) const ALL: [Self; 8] = [
        Self::Tidewire,
        Self::TidewireDisk,
        Self::TidewireFlush,
        Self::Nats,
        Self::Nchan,
        Self::Ws,
        Self::SocketIo,
        Self::Pushpin,
    ];

    /// As `--only` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidewire => "tidewire",
            Self::TidewireDisk => "tidewire-disk",
            Self::TidewireFlush => "tidewire-flush",
            Self::Nchan => "nchan",
            Self::Nats => "nats",
            Self::Ws => "ws",
            Self::SocketIo => "socketio",
            Self::Pushpin => "pushpin",
        }
    }

    /// As tables show it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tidewire => "Tidewire",
            Self::TidewireDisk => "Tidewire, disk",
            Self::TidewireFlush => "Tidewire, flush 50 ms",
            Self::Nchan => "Nchan",
            Self::Nats => "nats-server",
            Self::Ws => "Node ws",
            Self::SocketIo => "Socket.IO",
            Self::Pushpin => "Pushpin",
        }
    }

    /// What it is measured over.
    pub(crate) fn transports(self) -> &'static [Transport] {
        match self {
            Self::Tidewire => &[
                Transport::WebSocket,
                Transport::Sse,
                Transport::Streams,
                Transport::Poll,
            ],
            Self::TidewireDisk => &[Transport::WebSocket, Transport::Sse],
            Self::TidewireFlush | Self::Nats | Self::Ws | Self::SocketIo => &[Transport::WebSocket],
            Self::Nchan => &[Transport::WebSocket, Transport::Sse, Transport::Poll],
            Self::Pushpin => &[Transport::Sse, Transport::WebSocket],
        }
    }

    /// What must be there and is not.
    pub(crate) async fn missing(self, places: &Places) -> Option<String> {
        let programs: &[&str] = match self {
            Self::Tidewire | Self::TidewireDisk | Self::TidewireFlush => &[],
            Self::Nchan => &["nginx"],
            Self::Nats => &["nats-server"],
            Self::Ws | Self::SocketIo => &["node"],
            Self::Pushpin => &["pushpin", "condure", "zurl", "node"],
        };
        let absent = programs.iter().find(|program| find(program).is_none());
        if let Some(program) = absent {
            return Some(format!("{program} is not installed"));
        }
        let file = match self {
            Self::Tidewire | Self::TidewireDisk | Self::TidewireFlush => places.tidewire.clone(),
            Self::Nchan => PathBuf::from(NCHAN_MODULE),
            Self::Ws => places.sources.join("node_modules/ws/package.json"),
            Self::SocketIo => places.sources.join("node_modules/socket.io/package.json"),
            Self::Nats | Self::Pushpin => return None,
        };
        if !file.is_file() {
            return Some(format!("{} is not there", file.display()));
        }
        if self == Self::TidewireFlush && !knows_flush_interval(places).await {
            return Some("this gateway has no bus.flush_interval".to_owned());
        }
        None
    }

    /// Its version, and that of what it stands on.
    pub(crate) async fn version(self, places: &Places) -> String {
        match self {
            Self::Tidewire | Self::TidewireDisk | Self::TidewireFlush => {
                let version = said(Command::new(&places.tidewire).arg("--version")).await;
                version.replace("tidewire ", "")
            }
            Self::Nchan => {
                let (nchan, nginx) = (debian("libnginx-mod-nchan").await, debian("nginx").await);
                format!("{nchan} in nginx {nginx}")
            }
            Self::Nats => debian("nats-server").await,
            Self::Ws => npm(places, "ws").await,
            Self::SocketIo => npm(places, "socket.io").await,
            Self::Pushpin => {
                let (pushpin, condure) = (debian("pushpin").await, debian("condure").await);
                format!("{pushpin} with condure {condure}")
            }
        }
    }
}

/// Also in the folders of an administrator, where nginx lies.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| {
            let found = fs::metadata(file);
            found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

/// An unknown key is refused by `check`.
async fn knows_flush_interval(places: &Places) -> bool {
    let (name, value) = FLUSH_INTERVAL;
    let mut check = Command::new(&places.tidewire);
    let check = check.arg("check").env(name, value);
    let status = check.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.await.is_ok_and(|status| status.success())
}

async fn debian(package: &str) -> String {
    let mut query = Command::new("dpkg-query");
    let version = said(query.args(["-W", "-f", "${Version}", package])).await;
    // An epoch stands before a colon, and is Debian's own.
    version.rsplit(':').next().unwrap_or_default().to_owned()
}

async fn npm(places: &Places, name: &str) -> String {
    let file = places
        .sources
        .join(format!("node_modules/{name}/package.json"));
    let version = fs::read(file).ok().and_then(|text| {
        let package: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(package.get("version")?.as_str()?.to_owned())
    });
    let node = said(Command::new("node").arg("--version")).await;
    format!(
        "{} on Node {}",
        version.unwrap_or_default(),
        node.trim_start_matches('v')
    )
}

/// The one line that a program prints; empty when it prints none.
async fn said(command: &mut Command) -> String {
    let output = command.output().await;
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// Where Debian's package has it.
const NCHAN_MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
/// For [`Peer::TidewireFlush`]: `bus.flush_interval`.
const FLUSH_INTERVAL: (&str, &str) = ("TIDEWIRE_BUS__FLUSH_INTERVAL", "50ms");
