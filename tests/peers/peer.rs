//! The peers: what each is, how it is started, and which version it has.
//!
//! Shape: a [`Peer`] is a server with one configuration. Each start is a fresh process in a folder of its own.
//! Unit: the configuration stands in the files beside this one; `@PORT@` and the like are filled in here.
//! Failure: what is not installed is told by [`Peer::missing`] and not started.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Failure;
use crate::server::{Server, free};

/// A server with one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The gateway with the memory engine, which keeps what the peers keep.
    Tidewire,
    /// The gateway as it starts without any configuration: every event is on the disk before it is answered.
    TidewireDisk,
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
    pub(crate) const ALL: [Self; 7] = [
        Self::Tidewire,
        Self::TidewireDisk,
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
            Self::Nchan => "Nchan",
            Self::Nats => "nats-server",
            Self::Ws => "Node ws",
            Self::SocketIo => "Socket.IO",
            Self::Pushpin => "Pushpin",
        }
    }

    /// What must be there and is not.
    pub(crate) fn missing(self, places: &Places) -> Option<String> {
        let programs: &[&str] = match self {
            Self::Tidewire | Self::TidewireDisk => &[],
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
            Self::Tidewire | Self::TidewireDisk => places.tidewire.clone(),
            Self::Nchan => PathBuf::from(NCHAN_MODULE),
            Self::Ws => places.sources.join("node_modules/ws/package.json"),
            Self::SocketIo => places.sources.join("node_modules/socket.io/package.json"),
            Self::Nats | Self::Pushpin => return None,
        };
        (!file.is_file()).then(|| format!("{} is not there", file.display()))
    }

    /// Its version, and that of what it stands on.
    pub(crate) async fn version(self, places: &Places) -> String {
        match self {
            Self::Tidewire | Self::TidewireDisk => {
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

    /// Starts it in a fresh folder, and waits until it takes connections.
    pub(crate) async fn start(self, places: &Places, folder: &Path) -> Result<Server, Failure> {
        fs::create_dir_all(folder)?;
        let address = free()?;
        let mut server = Server::at(address);
        match self {
            Self::Tidewire => {
                server.spawn(folder, &mut gateway(places, folder, address, "memory"))?;
            }
            Self::TidewireDisk => {
                server.spawn(folder, &mut gateway(places, folder, address, "disk"))?;
            }
            Self::Nchan => {
                let values = [("MODULE", NCHAN_MODULE.to_owned())];
                let file = fill(places, "nchan.conf", folder, address, &values)?;
                let mut nginx = Command::new(find("nginx").unwrap_or_else(|| "nginx".into()));
                nginx.arg("-p").arg(folder).arg("-c").arg(file);
                server.spawn(folder, nginx.arg("-e").arg(folder.join("error.log")))?;
            }
            Self::Nats => {
                let values = [("CLIENT_PORT", free()?.port().to_string())];
                let file = fill(places, "nats.conf", folder, address, &values)?;
                server.spawn(folder, Command::new("nats-server").arg("-c").arg(file))?;
            }
            Self::Ws => server.spawn(folder, &mut node(places, "ws/server.js", address))?,
            Self::SocketIo => {
                server.spawn(folder, &mut node(places, "socketio/server.js", address))?;
            }
            Self::Pushpin => pushpin(places, folder, &mut server).await?,
        }
        server.ready(folder, address).await?;
        Ok(server)
    }
}

/// The gateway with its defaults, but for the limits that protect it from one machine alone.
fn gateway(places: &Places, folder: &Path, address: SocketAddr, engine: &str) -> Command {
    let mut command = Command::new(&places.tidewire);
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("TIDEWIRE_")) {
        command.env_remove(name);
    }
    command
        .args(["serve", "--engine", engine, "--admin", "127.0.0.1:0"])
        .args(["--listen", &address.to_string()])
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--tls-cert")
        .arg(places.certificate())
        .arg("--tls-key")
        .arg(places.key())
        .env("TIDEWIRE_LOG", "warn")
        .env("TIDEWIRE_LIMITS__PUBLISHES_PER_SECOND", "1000000")
        .env("TIDEWIRE_LIMITS__CONNECTIONS_PER_ADDRESS", "20000")
        .env("TIDEWIRE_LIMITS__SESSIONS_PER_ADDRESS", "20000");
    command
}

fn node(places: &Places, script: &str, address: SocketAddr) -> Command {
    let mut command = Command::new("node");
    command
        .env("NODE_ENV", "production")
        .arg(places.sources.join(script))
        .arg(address.port().to_string())
        .arg(places.certificate())
        .arg(places.key());
    command
}

/// Pushpin is four processes under one, and needs an application behind it, which only sees who subscribes.
async fn pushpin(places: &Places, folder: &Path, server: &mut Server) -> Result<(), Failure> {
    let (public, control, backend) = (server.subscribe, free()?, free()?);
    let values = [
        ("CONTROL_PORT", control.port().to_string()),
        ("BACKEND_PORT", backend.port().to_string()),
    ];
    let file = fill(places, "pushpin/pushpin.conf", folder, public, &values)?;
    fill(places, "pushpin/routes", folder, public, &values)?;
    let certificates = folder.join("runner/certs");
    for path in [&certificates, &folder.join("run"), &folder.join("log")] {
        fs::create_dir_all(path)?;
    }
    let named = |ending| certificates.join(format!("default_{}.{ending}", public.port()));
    fs::copy(places.certificate(), named("crt"))?;
    fs::copy(places.key(), named("key"))?;
    let mut runner = Command::new("pushpin");
    server.spawn(
        folder,
        runner.arg("--merge-output").arg("--config").arg(file),
    )?;
    let mut application = Command::new("node");
    let script = places.sources.join("pushpin/backend.js");
    application.arg(script).arg(backend.port().to_string());
    server.spawn(folder, &mut application)?;
    server.publish = control;
    server.ready(folder, backend).await?;
    server.ready(folder, control).await
}

/// Writes a configuration with its values into the folder.
fn fill(
    places: &Places,
    source: &str,
    folder: &Path,
    address: SocketAddr,
    values: &[(&str, String)],
) -> Result<PathBuf, Failure> {
    let source = places.sources.join(source);
    let mut text = fs::read_to_string(&source)?
        .replace("@PORT@", &address.port().to_string())
        .replace("@FOLDER@", &folder.display().to_string());
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    let file = folder.join(source.file_name().ok_or("a configuration is a file")?);
    fs::write(&file, text)?;
    Ok(file)
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

async fn debian(package: &str) -> String {
    said(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package])).await
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
