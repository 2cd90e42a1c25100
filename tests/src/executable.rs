//! The real binary as a child process, for what cannot be done to oneself.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

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
        let mut launch = Launch::new(folder, engine, listen);
        for (name, value) in environment {
            launch.environment((*name).to_owned(), value);
        }
        within(launch.start()).await.unwrap()
    }

    /// Where the binary stands.
    #[must_use]
    pub fn binary() -> PathBuf {
        binary()
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

    /// Its number, for `/proc`.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// SIGTERM, and waits until it has drained.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn stop(mut self) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(within(sent).await.unwrap().success());
        assert!(within(self.child.wait()).await.unwrap().success());
    }

    /// `kill -9`, at once.
    pub async fn kill(mut self) {
        within(self.child.kill()).await.unwrap();
    }

    /// Sends a signal by its name without `SIG`: `STOP`, `CONT`, `TERM`.
    ///
    /// # Panics
    /// When there is no such signal, or the child has ended.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs");
        let kill = format!("kill -{name} {pid}");
        let status = Command::new("sh").args(["-c", &kill]).status().await;
        assert!(status.unwrap().success(), "{kill}");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitStatus {
        within(self.child.wait()).await.unwrap()
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

/// Everything that a start can be given.
#[derive(Clone, Debug)]
pub struct Launch {
    folder: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    errors: Option<PathBuf>,
}

impl Launch {
    /// The gateway on this folder and address.
    #[must_use]
    pub fn new(folder: &Path, engine: Engine, listen: &str) -> Self {
        let engine = match engine {
            Engine::Memory => "memory",
            Engine::Disk => "disk",
        };
        let arguments = [
            "serve",
            "--admin",
            "127.0.0.1:0",
            "--listen",
            listen,
            "--engine",
            engine,
        ];
        let mut arguments: Vec<OsString> = arguments.map(OsString::from).into();
        arguments.extend(["--data-dir".into(), folder.into()]);
        Self {
            folder: folder.to_owned(),
            arguments,
            // Measurements and races are not about this limit; its own tests set it.
            environment: vec![(
                "TIDEWIRE_LIMITS__PUBLISHES_PER_SECOND".into(),
                "1000000".into(),
            )],
            errors: None,
        }
    }

    /// One more argument.
    pub fn argument(&mut self, argument: impl Into<OsString>) {
        self.arguments.push(argument.into());
    }

    /// One more variable: of the configuration, or what a preloaded library wants.
    pub fn environment(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }

    /// Adds what it says on standard error to this file.
    pub fn errors(&mut self, file: &Path) {
        self.errors = Some(file.to_owned());
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It ended before.
    pub async fn start(&self) -> std::io::Result<Executable> {
        let mut command = Command::new(binary());
        // What a run of the tests is told is no configuration of the gateway.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEWIRE_") {
                command.env_remove(name);
            }
        }
        if let Some(errors) = &self.errors {
            let file = OpenOptions::new().create(true).append(true).open(errors)?;
            command.stderr(file);
        }
        let mut child = command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts: build the workspace first");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut url = None;
        let (url, admin) = loop {
            let Some(line) = lines.next_line().await? else {
                let status = child.wait().await?;
                let detail = format!("it ended before it was ready: {status}");
                return Err(std::io::Error::other(detail));
            };
            if let Some(public) = line.strip_prefix("ready ") {
                url = Some(public.to_owned());
            }
            if let (Some(url), Some(admin)) = (&url, line.strip_prefix("admin ")) {
                break (url.clone(), admin.to_owned());
            }
        };
        // Whatever else it prints is read, or it would wait for its reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Executable {
            url,
            admin,
            child,
            certificate: std::fs::read(self.folder.join("tls/cert.pem"))?,
        })
    }
}

/// The binary of the same profile: it stands beside the torture, and beside the folder of the tests.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TIDEWIRE_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let beside = test
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("tidewire"));
    let found = beside.take(2).find(|path| path.is_file());
    found.expect("the binary: build the workspace first")
}
