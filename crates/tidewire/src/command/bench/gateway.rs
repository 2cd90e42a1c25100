//! Which gateway is measured: the one that was named, one that runs here, or one that is started.
//!
//! Shape: an address, whom to trust, and the server's process where it is on this machine.
//! Bound: a started gateway has [`START_TIMEOUT`] to say where it listens; it has no limits that a run would meet, a
//! folder of its own, and is ended with the run.
//! Failure: a gateway that does not start says why on its own standard error.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use tidewire_bench::{
    process::listener,
    target::{Target, Trust},
};

use super::Arguments;
use crate::config::EngineKind;

/// What is measured.
pub(super) enum Server {
    /// The gateway at this address.
    Running(String),
    /// One for each run, so that no run meets what an earlier one left in memory.
    Own,
}

/// A gateway to measure.
pub(super) struct Gateway {
    pub(super) url: String,
    pub(super) target: Target,
    pub(super) processes: Vec<u32>,
    /// Kept so that it ends with the run.
    _started: Option<Started>,
}

impl Server {
    /// The one that was named, one that runs here, or one of its own; said on standard error.
    pub(super) fn choose(arguments: &Arguments) -> Result<Server> {
        let here: SocketAddr = DEFAULT_ADDRESS.parse().context("the default address")?;
        let server = match &arguments.url {
            Some(url) => Server::Running(url.clone()),
            None if arguments.start => Server::Own,
            None if TcpStream::connect_timeout(&here, PROBE_TIMEOUT).is_ok() => {
                Server::Running(DEFAULT_URL.to_owned())
            }
            None => Server::Own,
        };
        if !arguments.quiet {
            let told = match &server {
                Server::Running(url) => format!(
                    "the gateway at {url}; events stay there as its retention says, and memory counts from what it holds already"
                ),
                Server::Own => format!(
                    "a gateway of its own for each run, engine {:?}, in a temporary folder",
                    arguments.engine
                ),
            };
            eprintln!("tidewire bench: {told}");
        }
        Ok(server)
    }

    /// The gateway for one run.
    pub(super) fn gateway(&self, arguments: &Arguments) -> Result<Gateway> {
        match self {
            Server::Running(url) => Gateway::running(arguments, url),
            Server::Own => Gateway::start(arguments.engine),
        }
    }
}

impl Gateway {
    fn running(arguments: &Arguments, url: &str) -> Result<Gateway> {
        let target = Target::parse(url, &trust(arguments, url)?)?;
        let processes: Vec<u32> = match arguments.pid.is_empty() {
            true => listener(target.address).into_iter().collect(),
            false => arguments.pid.clone(),
        };
        if !arguments.quiet && processes.is_empty() {
            eprintln!(
                "tidewire bench: no process of it is seen here, so there are no figures of CPU and memory (--pid)"
            );
        }
        Ok(Gateway {
            url: url.to_owned(),
            target,
            processes,
            _started: None,
        })
    }

    fn start(engine: EngineKind) -> Result<Gateway> {
        let started = Started::new(engine)?;
        let url = started.url.clone();
        let cert = started.folder.join("tidewire-data/tls/cert.pem");
        let pem = fs::read(&cert).with_context(|| format!("cannot read {}", cert.display()))?;
        Ok(Gateway {
            target: Target::parse(&url, &Trust::Pem(pem))?,
            url,
            processes: vec![started.process],
            _started: Some(started),
        })
    }
}

fn trust(arguments: &Arguments, url: &str) -> Result<Trust> {
    if arguments.insecure || url.starts_with("http://") {
        return Ok(Trust::Anyone);
    }
    let made = PathBuf::from("tidewire-data/tls/cert.pem");
    let path = match &arguments.ca {
        Some(path) => path.clone(),
        None if made.exists() => made,
        None => bail!(
            "{url}: give the certificate to trust with --ca FILE (a gateway without one makes DATA-DIR/tls/cert.pem) or, on this machine, --insecure"
        ),
    };
    let pem = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Trust::Pem(pem))
}

/// A gateway that was started for the run.
struct Started {
    url: String,
    process: u32,
    folder: PathBuf,
}

/// The one that is running, for the end by a signal.
static STARTED: Mutex<Option<(Child, PathBuf)>> = Mutex::new(None);

impl Started {
    fn new(engine: EngineKind) -> Result<Started> {
        let folder = env::temp_dir().join(format!("tidewire-bench-{}", process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut child = command(engine, &folder)?
            .spawn()
            .context("cannot start a gateway")?;
        let output = child.stdout.take().context("the gateway has no output")?;
        let process = child.id();
        *STARTED.lock().unwrap_or_else(PoisonError::into_inner) = Some((child, folder.clone()));
        let mut started = Started {
            url: String::new(),
            process,
            folder,
        };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Read on when nobody listens any more: the pipe must not fill up.
                let _ = sender.send(line);
            }
        });
        let line = receiver.recv_timeout(START_TIMEOUT);
        let line =
            line.map_err(|_| anyhow!("the gateway that was started did not say that it is ready"))?;
        let address = line
            .strip_prefix("ready ")
            .with_context(|| format!("the gateway said {line:?}"))?;
        started.url = address.replace("127.0.0.1", "localhost");
        Ok(started)
    }
}

fn command(engine: EngineKind, folder: &Path) -> Result<Command> {
    let program = env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--data-dir",
        "tidewire-data",
        "--engine",
    ]);
    command.arg(match engine {
        EngineKind::Memory => "memory",
        EngineKind::Disk => "disk",
    });
    for (key, value) in NO_LIMITS {
        let name = format!("TIDEWIRE_LIMITS__{key}");
        if env::var_os(&name).is_none() {
            command.env(name, value);
        }
    }
    if env::var_os("TIDEWIRE_LOG").is_none() {
        command.env("TIDEWIRE_LOG", "warn");
    }
    command.env_remove("TIDEWIRE_SEED");
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    Ok(command)
}

impl Drop for Started {
    fn drop(&mut self) {
        stop_started();
    }
}

/// Ends the gateway that was started, and removes its folder.
pub(super) fn stop_started() {
    let started = STARTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some((mut child, folder)) = started {
        // Nothing of it is kept, so there is nothing to drain.
        let _ = child.kill();
        let _ = child.wait();
        let _ = fs::remove_dir_all(folder);
    }
}

const DEFAULT_URL: &str = "https://localhost:8443";
const DEFAULT_ADDRESS: &str = "127.0.0.1:8443";
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// What a load generator would meet first.
const NO_LIMITS: [(&str, &str); 6] = [
    ("PUBLISHES_PER_SECOND", "1000000"),
    ("FRAMES_PER_SECOND", "1000000"),
    ("CONNECTIONS_PER_ADDRESS", "100000"),
    ("CONNECTIONS_TOTAL", "1000000"),
    ("SESSIONS_PER_ADDRESS", "100000"),
    ("SESSIONS_TOTAL", "1000000"),
];
