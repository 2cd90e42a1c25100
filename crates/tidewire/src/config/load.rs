//! Where the configuration comes from: defaults, then the file, then the environment, then flags.
//!
//! Shape: each source overlays the former one, key by key; lists are replaced as a whole.
//! Failure: an unknown key is refused with the nearest known one, a bad value with the accepted form; both
//! with the place where they stand.
//! Source: protocol section 10.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Env, Format, Serialized, Toml},
    value::{Dict, Map, Value},
};

use crate::config::{Config, EngineKind, explain::explain};

/// The flags of `serve` and `check`. Each wins over the environment and the file.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Flags {
    /// The configuration file; none is read without this
    #[arg(long, value_name = "FILE", env = "TIDEWIRE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Public address; may be repeated [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address for health and metrics, or "off" [default: 127.0.0.1:8444]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<String>,
    /// Folder of the log and of the certificate [default: tidewire-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// What orders and keeps the log [default: disk]
    #[arg(long, value_enum)]
    pub(crate) engine: Option<EngineKind>,
    /// Certificate chain; without one, a certificate for localhost is made
    #[arg(long, value_name = "PEM", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of the certificate
    #[arg(long, value_name = "PEM", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Plain HTTP on the public addresses, for use behind a TLS proxy
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// Serve the lab at /; in this release it is always there
    #[arg(long)]
    pub(crate) lab: bool,
    /// Serve /echo, a WebSocket that sends everything back, for conformance suites
    #[arg(long)]
    pub(crate) conformance_echo: bool,
}

/// Reads all sources and checks the result.
pub(crate) fn load(flags: &Flags) -> Result<Config> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = &flags.config {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
        if let Err(error) = text.parse::<toml::Table>() {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            let (path, message) = (path.display(), error.message());
            return Err(anyhow!("{path} line {line} is not TOML: {message}"));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    let figment = figment.merge(environment()).merge(flags);
    let config: Config = figment
        .extract()
        .map_err(|error| anyhow!(explain(&figment, error)))?;
    config.check()?;
    Ok(config)
}

/// `TIDEWIRE_LIMITS__HEARTBEAT` is `limits.heartbeat`.
fn environment() -> impl Provider {
    Env::prefixed(PREFIX)
        .filter(|key| !is_other(key.as_str()))
        .split("__")
}

/// Variables that share the prefix and are no keys: our own, and those that Kubernetes sets in every container beside a
/// service that is named `tidewire`.
fn is_other(key: &str) -> bool {
    let key = key.to_ascii_uppercase();
    matches!(key.as_str(), "LOG" | "CONFIG" | "TOKEN" | "URL" | "PORT")
        || key.starts_with("SERVICE_")
        || key.starts_with("PORT_")
}

impl Provider for &Flags {
    fn metadata(&self) -> Metadata {
        Metadata::named(COMMAND_LINE)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut keys = Dict::new();
        let mut set = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                keys.insert(key.into(), Value::from(value));
            }
        };
        set("admin", self.admin.clone());
        set("data_dir", self.data_dir.as_deref().map(text));
        set(
            "engine",
            self.engine.map(|engine| match engine {
                EngineKind::Memory => "memory".into(),
                EngineKind::Disk => "disk".into(),
            }),
        );
        if !self.listen.is_empty() {
            let listen: Vec<_> = self.listen.iter().map(ToString::to_string).collect();
            keys.insert("listen".into(), Value::from(listen));
        }
        if self.insecure_http {
            keys.insert("insecure_http".into(), Value::from(true));
        }
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let tls = Dict::from([
                ("cert".into(), Value::from(text(cert))),
                ("key".into(), Value::from(text(key))),
            ]);
            keys.insert("tls".into(), Value::from(tls));
        }
        Ok(Profile::Default.collect(keys))
    }
}

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What each variable of the environment begins with.
pub(crate) const PREFIX: &str = "TIDEWIRE_";
/// The name of the flags as a source.
pub(crate) const COMMAND_LINE: &str = "command line";
