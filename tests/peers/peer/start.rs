//! Starting a peer: its configuration and its processes.
//!
//! Shape: each start is a fresh process in a folder of its own.
//! Unit: the configurations stand in `tests/peers`; `@PORT@` and the like are filled in here.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{FLUSH_INTERVAL, NCHAN_MODULE, Peer, Places, find};
use crate::Failure;
use crate::server::{Server, free};

impl Peer {
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
            Self::TidewireFlush => {
                let mut gateway = gateway(places, folder, address, "memory");
                let (name, value) = FLUSH_INTERVAL;
                server.spawn(folder, gateway.env(name, value))?;
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
        .env("TIDEWIRE_LIMITS__FRAMES_PER_SECOND", "1000000")
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

/// Pushpin is four processes under one, and needs an application behind it, which sees who subscribes and hands on what is
/// published; its own work is not counted.
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
    let ports = [backend, control].map(|address| address.port().to_string());
    application.arg(script).args(ports);
    server.spawn(folder, &mut application)?;
    server.publish_url = format!("http://{backend}");
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
