//! The real binary as a child process, for what cannot be done to oneself.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tidewire_client::Client;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::gateway::client;
use crate::{Engine, within};

/// A running child. Dropping it kills it.
pub struct Executable {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    admin: String,
    child: Child,
    certificate: Vec<u8>,
}

impl Executable {
    /// Starts the gateway on this folder and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(folder: &Path, engine: Engine, listen: &str) -> Self {
        Self::with(folder, engine, listen, &[]).await
    }

    /// Starts the gateway with some keys of its configuration set through the environment.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with(
        folder: &Path,
        engine: Engine,
        listen: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let engine = match engine {
            Engine::Memory => "memory",
            Engine::Disk => "disk",
        };
        let mut command = Command::new(Self::binary());
        // What a run of the tests is told is no configuration of the gateway.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEWIRE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["serve", "--admin", "127.0.0.1:0", "--listen", listen])
            .args(["--engine", engine, "--data-dir"])
            .arg(folder)
            // Measurements and races are not about this limit; its own tests set it.
            .env("TIDEWIRE_LIMITS__PUBLISHES_PER_SECOND", "1000000")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts: build the workspace first");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            let mut url = None;
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(public) = line.strip_prefix("ready ") {
                    url = Some(public.to_owned());
                }
                if let (Some(url), Some(admin)) = (&url, line.strip_prefix("admin ")) {
                    return (url.clone(), admin.to_owned());
                }
            }
            panic!("it ended before it was ready");
        };
        let (url, admin) = within(ready).await;
        // Whatever else it prints is read, or it would wait for its reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            url,
            admin,
            child,
            certificate: std::fs::read(folder.join("tls/cert.pem")).unwrap(),
        }
    }

    /// The binary that stands beside the test's own folder of the same profile.
    #[must_use]
    pub fn binary() -> PathBuf {
        if let Some(path) = std::env::var_os("TIDEWIRE_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        profile.join("tidewire")
    }

    /// A folder for it.
    #[must_use]
    pub fn folder() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    /// Our own client.
    #[must_use]
    pub fn client(&self) -> Client {
        client(&self.url, &self.certificate)
    }

    /// The certificate that it made, as PEM.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// `127.0.0.1:PORT`, to start the next one at.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("https://")
    }

    /// Bytes of memory that are in use now, and were at most.
    #[must_use]
    pub fn memory(&self) -> (u64, u64) {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        let kilobytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let number = line.split_whitespace().nth(1).unwrap();
            number.parse::<u64>().unwrap() * 1024
        };
        (kilobytes("VmRSS:"), kilobytes("VmHWM:"))
    }

    /// One number of `/metrics`; 0 where the line is not there.
    pub async fn metric(&self, line: &str) -> f64 {
        let address = self.admin.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut metrics = String::new();
        within(stream.read_to_string(&mut metrics)).await.unwrap();
        let value = metrics
            .lines()
            .find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    /// `kill -9`, at once.
    pub async fn kill(mut self) {
        within(self.child.kill()).await.unwrap();
    }
}
