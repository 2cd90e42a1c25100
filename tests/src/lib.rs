//! The harness: a gateway over TLS on a free port, and subscribers that tests can cut at will.
//!
//! Read in this order: [`Case`] is a transport and an engine, [`Gateway`] the server in this process,
//! [`Subscriber`] one connection, [`Executable`] the real binary, for tests that kill it, [`Proxy`] a bad
//! network in front of it.
//! No test sleeps: each waits for a fact, under one generous [`DEADLINE`].

#![allow(
    clippy::unwrap_used,
    reason = "a harness fails like a test: its panic is the verdict"
)]

mod executable;
mod frames;
mod gateway;
mod proxy;
mod subscriber;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tidewire_client::Transport;

pub use executable::{Executable, Launch};
pub use frames::Frames;
pub use gateway::{Engine, Gateway, Settings};
pub use proxy::{Flow, Proxy};
pub use subscriber::{Seen, Subscriber};

/// Long enough for a loaded machine; it only catches a hang.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a behaviour is tested over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What carries the session.
    pub transport: Transport,
    /// What keeps the log.
    pub engine: Engine,
}

impl Case {
    /// Every transport on every engine.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let on = |engine| Transport::ALL.map(|transport| Self { transport, engine });
        Engine::ALL.into_iter().flat_map(on).collect()
    }

    /// Runs one behaviour over every case, and says which one it is that fails.
    pub async fn each<F: Future<Output = ()>>(behaviour: impl Fn(Self) -> F) {
        for case in Self::all() {
            eprintln!("{case:?}");
            within(behaviour(case)).await;
        }
    }
}

/// Waits, but not for ever.
///
/// # Panics
/// At the [`DEADLINE`].
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.expect("it hangs: the deadline is over")
}

/// Random numbers that can be had again: the seed is printed, and `TIDEWIRE_SEED` sets it.
#[must_use]
pub fn seeded() -> StdRng {
    let given = std::env::var("TIDEWIRE_SEED").ok();
    let seed = given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    eprintln!("TIDEWIRE_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// How often something is tried: more in a full run, fewer in `tests/run quick`.
#[must_use]
pub fn rounds(full: usize, quick: usize) -> usize {
    if std::env::var_os("TIDEWIRE_QUICK").is_some() {
        quick
    } else {
        full
    }
}

/// TLS of a client that trusts this certificate, and offers no protocol by name.
///
/// # Panics
/// When it is no certificate.
#[must_use]
pub fn trusting(certificate: &[u8]) -> Arc<rustls::ClientConfig> {
    let mut trusted = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificate) {
        trusted.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Arc::new(config)
}
