//! The commands, and what the two share that talk to a running gateway.
//!
//! Source: protocol section 10.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod key;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod subscribe;
pub(crate) mod token;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use tidewire_client::{Client, ClientError};

use crate::config::load::Flags;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway (the default)
    Serve(Flags),
    /// Publish one event, or each line of standard input
    Publish(publish::Arguments),
    /// Print events as they come, one a line, as JSON
    Subscribe(subscribe::Arguments),
    /// Measure a gateway: throughput, latency, memory and CPU of each transport
    Bench(Box<bench::Arguments>),
    /// Check the configuration and print what is in force
    Check(Flags),
    /// Make an API key and the entry for it
    Key(key::Arguments),
    /// Make a token for development, or say what one may do with a token
    Token(Box<token::Arguments>),
}

impl Default for Command {
    fn default() -> Command {
        Command::Serve(Flags::default())
    }
}

/// How a command ended, errors apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Something was refused and has been said on standard error.
    Refused,
}

/// How to reach a gateway.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// Address of the gateway
    #[arg(long, default_value = "https://localhost:8443")]
    url: String,
    /// Certificate to trust [default: ./tidewire-data/tls/cert.pem for this machine, else the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// API key, or a JSON Web Token
    #[arg(long, env = "TIDEWIRE_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Remote {
    pub(crate) fn client(&self) -> Result<Client> {
        let mut builder = Client::builder(&self.url).insecure(self.insecure);
        if let Some(path) = self.ca() {
            let pem = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            builder = builder.ca_pem(pem);
        }
        if let Some(token) = &self.token {
            builder = builder.token(token);
        }
        Ok(builder.build()?)
    }

    /// The error with what the user can do about it.
    pub(crate) fn explain(&self, error: ClientError) -> anyhow::Error {
        let hint = match &error {
            ClientError::Certificate(_) => {
                "give --ca FILE (a gateway without a certificate makes DATA-DIR/tls/cert.pem) or, for a trial, --insecure"
            }
            ClientError::GaveUp { last, .. } if matches!(**last, ClientError::Unreachable(_)) => {
                "is the gateway up? `tidewire serve` starts it"
            }
            ClientError::Refused { status: 401, .. } => "give --token TOKEN or set TIDEWIRE_TOKEN",
            _ => return anyhow::Error::new(error),
        };
        anyhow::anyhow!("{}: {error}; {hint}", self.url)
    }

    fn ca(&self) -> Option<PathBuf> {
        if self.ca.is_some() || self.insecure {
            return self.ca.clone();
        }
        let made = PathBuf::from("tidewire-data/tls/cert.pem");
        let here = ["https://localhost", "https://127.0.0.1", "https://[::1]"];
        let is_here = here.iter().any(|prefix| self.url.starts_with(prefix));
        (is_here && made.exists()).then_some(made)
    }
}
