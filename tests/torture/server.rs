//! The server as a child process that is killed, stopped and started again at the same address.
//! Shape: one launch for all its lives; what it says on standard error goes into one file.
//! Unit: bytes of resident memory. Bound: [`MEMORY_MAX`], judged at each look.
//! Failure: an end that nobody asked for, an exit that is not 0, a panic, too much memory.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use tidewire_tests::{DEADLINE, Engine, Executable, Launch};
use tokio::time::timeout;

use crate::crew::HEARTBEAT;
use crate::place::{Clock, Disk};

/// See the module.
pub(crate) struct Server {
    launch: Launch,
    errors: PathBuf,
    /// `None` between two lives.
    running: Option<Executable>,
    pub(crate) starts: u32,
    pub(crate) slowest_start: Duration,
    pub(crate) memory_peak: u64,
}

impl Server {
    pub(crate) fn new(
        engine: Engine,
        listen: &str,
        disk: &Disk,
        clock: Option<&Clock>,
        logs: &Path,
    ) -> Self {
        let config = logs.join("tidewire.toml");
        std::fs::write(&config, configuration()).expect("the folder of the run takes files");
        let errors = logs.join("server.log");
        let mut launch = Launch::new(&disk.data(), engine, listen);
        launch.argument("--config");
        launch.argument(config);
        launch.errors(&errors);
        if let Some(clock) = clock {
            clock.follow(&mut launch);
        }
        Self {
            launch,
            errors,
            running: None,
            starts: 0,
            slowest_start: Duration::ZERO,
            memory_peak: 0,
        }
    }

    pub(crate) async fn start(&mut self) -> Result<(), String> {
        let began = Instant::now();
        let started = timeout(DEADLINE, self.launch.start()).await;
        let started = started.map_err(|_| "the server is not ready in time".to_owned())?;
        self.running =
            Some(started.map_err(|error| format!("the server does not start: {error}"))?);
        self.starts += 1;
        self.slowest_start = self.slowest_start.max(began.elapsed());
        Ok(())
    }

    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.alive().certificate().to_vec()
    }

    pub(crate) async fn kill(&mut self) -> Result<(), String> {
        self.look()?;
        if let Some(running) = self.running.take() {
            running.kill().await;
        }
        Ok(())
    }

    pub(crate) async fn signal(&self, name: &str) {
        self.alive().signal(name).await;
    }

    /// SIGTERM: it ends in order.
    pub(crate) async fn terminate(&mut self) -> Result<(), String> {
        self.look()?;
        self.signal("TERM").await;
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let status = timeout(DEADLINE, running.ended()).await;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the server ended with {status} after SIGTERM")),
            Err(_) => Err("the server does not end after SIGTERM".to_owned()),
        }
    }

    /// Whether it is as it should be.
    pub(crate) fn look(&mut self) -> Result<(), String> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        if let Some(status) = running.has_ended() {
            return Err(format!("the server ended by itself: {status}"));
        }
        let (_, peak) = running.memory();
        self.memory_peak = self.memory_peak.max(peak);
        if peak > MEMORY_MAX {
            return Err(format!("the server takes {} MB", peak >> 20));
        }
        Ok(())
    }

    /// What it said that it must never say.
    pub(crate) fn panicked(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let mut lines = text.lines();
        let found = lines.find(|line| line.contains("panicked"))?.to_owned();
        let after: Vec<&str> = lines.take(3).collect();
        Some(format!("{found}\n{}", after.join("\n")))
    }

    fn alive(&self) -> &Executable {
        self.running.as_ref().expect("faults find it running")
    }
}

/// Keeps everything that is not tight for longer than any run and any jump of the clock; finds dead peers soon.
fn configuration() -> String {
    let heartbeat = HEARTBEAT.as_secs();
    format!(
        r#"idempotency_window = "30d"

[[retention]]
topics = "tight.>"
max_events = {TIGHT_MAX_EVENTS}
max_age = "30d"

[[retention]]
topics = ">"
max_events = 100000000
max_bytes = "100GiB"
max_age = "30d"

[limits]
heartbeat = "{heartbeat}s"
write_timeout = "5s"
drain_timeout = "3s"
"#
    )
}

/// An address outside of the range from which the system takes the ports of outgoing connections: one of those would
/// be in the way of a restart.
pub(crate) fn address(random: &mut StdRng) -> String {
    loop {
        let address = format!("127.0.0.1:{}", random.random_range(20_000..30_000));
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// Events of each tight topic.
pub(crate) const TIGHT_MAX_EVENTS: usize = 5;
/// The window and the store's cache (64 MB each), its write buffers, the keys (100 bytes each), and a batch for each
/// connection.
const MEMORY_MAX: u64 = 640 << 20;
