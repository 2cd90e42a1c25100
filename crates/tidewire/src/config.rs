//! The whole configuration as one value.
//!
//! Shape: the addresses, the engine and retention stand here; the tables of the HTTP surface are the server's own.
//! Unit: durations as `"25s"`, sizes as `"64KiB"`. `config/load.rs` fills it, `config/explain.rs` words what is wrong.
//! Bound: every field says its default and what happens at its bound.
//! Failure: an unknown key or a value that cannot work is refused before a port is bound.
//! Source: protocol section 10.

pub(crate) mod explain;
pub(crate) mod load;
pub(crate) mod text;

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use tidewire_bus::{
    BusConfig, DiskConfig, Durability, FLUSH_INTERVAL_MAX, MemoryConfig, Retention, RetentionRule,
    RetentionTable,
};
use tidewire_protocol::Pattern;
use tidewire_server::{
    AuthConfig, HooksConfig, HttpConfig, LimitsConfig, RevocationsConfig, ServerConfig, TlsConfig,
};

/// Everything that `serve` is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Public addresses. Default `127.0.0.1:8443`. Any other than loopback needs `[auth]`.
    #[serde(with = "text::one_or_many")]
    pub(crate) listen: Vec<SocketAddr>,
    /// The address for health, metrics and administration, plain HTTP. Default `127.0.0.1:8444`; `"off"`: none.
    #[serde(with = "text::address_or_off")]
    pub(crate) admin: Option<SocketAddr>,
    /// What orders and keeps the log. Default `disk`.
    pub(crate) engine: EngineKind,
    /// The folder of the log and of the certificate that is made when none is given. Default `tidewire-data`.
    pub(crate) data_dir: PathBuf,
    /// Plain HTTP on the public addresses, for use behind a TLS proxy. Default false.
    pub(crate) insecure_http: bool,
    /// How long a publisher's key is remembered, so that a repeat stores nothing twice. Default 2 min.
    #[serde(with = "humantime_serde")]
    pub(crate) idempotency_window: Duration,
    /// Bounds of the log's window in memory.
    pub(crate) bus: BusTable,
    /// Bounds of the disk engine.
    pub(crate) disk: DiskTable,
    /// Bounds of the memory engine.
    pub(crate) memory: MemoryTable,
    /// How long events are kept: the first entry whose pattern matches the topic applies.
    pub(crate) retention: Vec<RetentionEntry>,
    /// Origins, headers, pages.
    pub(crate) http: HttpConfig,
    /// The certificate.
    pub(crate) tls: TlsConfig,
    /// Who may do what.
    pub(crate) auth: AuthConfig,
    /// Every bound of the HTTP surface.
    pub(crate) limits: LimitsConfig,
    /// Questions to the user's backend.
    pub(crate) hooks: HooksConfig,
    /// How long revocations are kept.
    pub(crate) revocations: RevocationsConfig,
}

/// What orders and keeps the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EngineKind {
    /// In the process; nothing survives it.
    Memory,
    /// On disk, synced before a publish is answered.
    Disk,
}

/// `[bus]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BusTable {
    /// Newest events that are kept in memory for sessions that are near the head. Default 65536. Older ones are read
    /// from the engine.
    pub(crate) window_max_events: usize,
    /// The same in bytes of encoded JSON. Default 64 MiB.
    pub(crate) window_max_bytes: ByteSize,
    /// The least time between two wake-ups of the subscribers of one pattern. Default 0 s: each event wakes them. Longer
    /// than 1 s is refused.
    #[serde(with = "humantime_serde")]
    pub(crate) flush_interval: Duration,
}

/// `[disk]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DiskTable {
    /// The cache of blocks that were read. Default 64 MiB. At the bound the oldest leave.
    pub(crate) cache_bytes: ByteSize,
    /// Events of one commit. Default 1000. The rest goes into the next.
    pub(crate) commit_max_events: usize,
    /// Bytes of one commit. Default 4 MiB. The rest goes into the next.
    pub(crate) commit_max_bytes: ByteSize,
    /// How long a commit waits for more events. Default 0 s: it takes what waits already.
    #[serde(with = "humantime_serde")]
    pub(crate) commit_max_wait: Duration,
    /// What an answer promises. Default `always`.
    pub(crate) durability: Durability,
    /// How often `interval` syncs. Default 1 s.
    #[serde(with = "humantime_serde")]
    pub(crate) sync_interval: Duration,
    /// Reads at a time. Default 8. One more waits.
    pub(crate) readers: usize,
}

/// `[memory]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MemoryTable {
    /// Events of all topics together. Default 256 MiB. At the bound the oldest of the log are evicted.
    pub(crate) max_bytes: ByteSize,
}

/// `[[retention]]`. A bound that is not given is the default's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionEntry {
    /// The topics that it is for.
    pub(crate) topics: Pattern,
    /// Events of one topic. Default 100000. At the bound the oldest are evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_events: Option<u64>,
    /// Bytes of one topic. Default 64 MiB. At the bound the oldest are evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<ByteSize>,
    /// Age of an event. Default 24 h. Older ones are evicted.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "humantime_serde::option"
    )]
    pub(crate) max_age: Option<Duration>,
}

impl Config {
    /// What only makes sense together. Nothing is opened.
    pub(crate) fn check(&self) -> Result<()> {
        if self.listen.is_empty() {
            bail!("listen = []: accepted is at least one address, such as \"127.0.0.1:8443\"");
        }
        let open = self.listen.iter().find(|at| !at.ip().is_loopback());
        if let Some(address) = open
            && self.auth.keys.is_empty()
            && self.auth.anonymous.is_none()
            && self.auth.jwt.is_none()
        {
            bail!(
                "{address} can be reached from other machines and nobody is authorized yet: \
                 add a key (`tidewire key NAME` prints the entry) or [auth.jwt], or say in [auth.anonymous] what everybody may do"
            );
        }
        if let Some(address) = self.admin
            && !address.ip().is_loopback()
            && self.http.admin_hosts.is_empty()
        {
            bail!(
                "admin = \"{address}\" can be reached from other machines, and whoever reaches it may do everything: \
                 accepted is a loopback address, or name in [http] admin_hosts how it is called there"
            );
        }
        self.check_counts()?;
        self.server()?.check().context("bad configuration")
    }

    fn check_counts(&self) -> Result<()> {
        let counts = [
            (
                "bus.window_max_events",
                self.bus.window_max_events,
                usize::MAX,
            ),
            (
                "disk.commit_max_events",
                self.disk.commit_max_events,
                1_000_000,
            ),
            ("disk.readers", self.disk.readers, 1_024),
        ];
        for (key, value, max) in counts {
            if value == 0 || value > max {
                bail!("{key} = {value}: accepted is a whole number from 1 to {max}");
            }
        }
        if self.bus.flush_interval > FLUSH_INTERVAL_MAX {
            bail!("bus.flush_interval: accepted is a duration of at most 1s");
        }
        if self.disk.commit_max_wait > COMMIT_MAX_WAIT {
            bail!("disk.commit_max_wait: accepted is a duration of at most 1s");
        }
        if !SYNC_INTERVALS.contains(&self.disk.sync_interval) {
            bail!("disk.sync_interval: accepted is a duration from 1ms to 1h");
        }
        Ok(())
    }

    /// What the HTTP surface needs to know.
    pub(crate) fn server(&self) -> Result<ServerConfig> {
        Ok(ServerConfig {
            http: self.http.clone(),
            auth: self.auth.clone(),
            limits: self.limits.clone(),
            hooks: self.hooks.clone(),
            revocations: self.revocations.clone(),
            data_dir: Some(self.data_dir.clone()),
            tls: self.tls.choose(&self.data_dir, self.insecure_http)?,
            conformance_echo: false,
        })
    }

    /// What the bus needs to know.
    pub(crate) fn bus(&self) -> BusConfig {
        BusConfig {
            window_max_events: self.bus.window_max_events,
            window_max_bytes: text::size(self.bus.window_max_bytes),
            flush_interval: self.bus.flush_interval,
        }
    }

    /// What the disk engine needs to know.
    pub(crate) fn disk(&self) -> DiskConfig {
        DiskConfig {
            cache_bytes: self.disk.cache_bytes.as_u64(),
            commit_max_events: self.disk.commit_max_events,
            commit_max_bytes: text::size(self.disk.commit_max_bytes),
            commit_max_wait: self.disk.commit_max_wait,
            durability: self.disk.durability,
            sync_interval: self.disk.sync_interval,
            readers: self.disk.readers,
            idempotency_window: self.idempotency_window,
            ..DiskConfig::default()
        }
    }

    /// What the memory engine needs to know.
    pub(crate) fn memory(&self) -> MemoryConfig {
        MemoryConfig {
            max_bytes: self.memory.max_bytes.as_u64(),
            idempotency_window: self.idempotency_window,
            ..MemoryConfig::default()
        }
    }

    /// How long events are kept.
    pub(crate) fn retention(&self) -> RetentionTable {
        let default = Retention::default();
        let rules = self.retention.iter().map(|entry| RetentionRule {
            topics: entry.topics.clone(),
            limits: Retention {
                max_events: entry.max_events.or(default.max_events),
                max_bytes: entry
                    .max_bytes
                    .map(|size| size.as_u64())
                    .or(default.max_bytes),
                max_age: entry.max_age.or(default.max_age),
            },
        });
        RetentionTable::new(rules.collect(), default)
    }
}

/// Every answer waits as long.
const COMMIT_MAX_WAIT: Duration = Duration::from_secs(1);
const SYNC_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(3_600);

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8443))],
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 8444))),
            engine: EngineKind::Disk,
            data_dir: PathBuf::from("tidewire-data"),
            insecure_http: false,
            idempotency_window: Duration::from_secs(120),
            bus: BusTable::default(),
            disk: DiskTable::default(),
            memory: MemoryTable::default(),
            retention: Vec::new(),
            http: HttpConfig::default(),
            tls: TlsConfig::default(),
            auth: AuthConfig::default(),
            limits: LimitsConfig::default(),
            hooks: HooksConfig::default(),
            revocations: RevocationsConfig::default(),
        }
    }
}

impl Default for BusTable {
    fn default() -> BusTable {
        let bus = BusConfig::default();
        BusTable {
            window_max_events: bus.window_max_events,
            window_max_bytes: ByteSize(bus.window_max_bytes as u64),
            flush_interval: bus.flush_interval,
        }
    }
}

impl Default for DiskTable {
    fn default() -> DiskTable {
        let engine = DiskConfig::default();
        DiskTable {
            cache_bytes: ByteSize(engine.cache_bytes),
            commit_max_events: engine.commit_max_events,
            commit_max_bytes: ByteSize(engine.commit_max_bytes as u64),
            commit_max_wait: engine.commit_max_wait,
            durability: engine.durability,
            sync_interval: engine.sync_interval,
            readers: engine.readers,
        }
    }
}

impl Default for MemoryTable {
    fn default() -> MemoryTable {
        MemoryTable {
            max_bytes: ByteSize(MemoryConfig::default().max_bytes),
        }
    }
}

#[cfg(test)]
mod tests;
