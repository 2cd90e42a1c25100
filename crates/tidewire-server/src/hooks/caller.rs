//! Asking a backend: the request, its repeats, and when it is left alone.
//!
//! Shape: [`Caller`] is the HTTP client that all hooks share; [`Backend`] is one address to ask, with its breaker.
//! Unit: an attempt is one POST, signed by itself; a question is an attempt and its repeats.
//! Bound: `hooks.timeout`, `hooks.retries`, `hooks.retry_pause`, `hooks.concurrency`; an answer has at most
//! `limits.event_max_bytes` and 16 KiB.
//! Failure: [`Failure`]; no redirect is followed and no proxy used, so nothing else than the configured address is asked.
//! Source: protocol document, "Hooks"; hazards part 1 row 29.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use reqwest::{Client, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use url::Url;

use super::{
    answer::{Answer, BadAnswer},
    breaker::Breaker,
    config::HooksConfig,
    signature,
    target::Targets,
};
use crate::{
    config::{ConfigError, Secret},
    drain::spread,
};

/// Why there is no answer. The backend's fault, or the network's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// As many attempts as may be are under way.
    #[error("no place for another attempt came free in time")]
    Busy,
    /// It has failed too often.
    #[error("the backend is left alone after its failures")]
    LeftAlone,
    /// The connection, or the time.
    #[error("no answer: {}", causes(.0))]
    NoAnswer(reqwest::Error),
    /// More bytes than an answer may have.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// Not what is wanted.
    #[error(transparent)]
    Bad(#[from] BadAnswer),
}

impl Failure {
    /// Whether another attempt may bring an answer.
    fn may_be_repeated(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Bad(bad) => bad.may_be_repeated(),
            Self::Busy | Self::LeftAlone | Self::TooLarge(_) => false,
        }
    }
}

/// An error and what is below it; without the address, which may hold a secret.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// One address to ask.
#[derive(Debug)]
pub(super) struct Backend {
    url: Url,
    breaker: Breaker,
}

impl Backend {
    pub(super) fn new(url: Url, config: &HooksConfig) -> Self {
        Self {
            url,
            breaker: Breaker::new(config.breaker_failures, config.breaker_pause),
        }
    }
}

/// The client that all hooks share.
#[derive(Debug)]
pub(super) struct Caller {
    client: Client,
    secret: Secret,
    timeout: Duration,
    retries: u32,
    retry_pause: Duration,
    answer_max_bytes: usize,
    /// Places for attempts.
    places: Arc<Semaphore>,
}

impl Caller {
    /// `answer_max_bytes`: what an answer may have.
    ///
    /// # Errors
    /// The certificates to trust cannot be used.
    pub(super) fn new(
        config: &HooksConfig,
        secret: Secret,
        answer_max_bytes: usize,
    ) -> Result<Self, ConfigError> {
        let client = Client::builder()
            .tls_backend_preconfigured(trust(config)?)
            .dns_resolver(Arc::new(Targets::new(config.allow_private)))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(config.timeout)
            .build()
            .map_err(|error| ConfigError::new("hooks", causes(&error), "a usable HTTP client"))?;
        Ok(Self {
            client,
            secret,
            timeout: config.timeout,
            retries: config.retries,
            retry_pause: config.retry_pause,
            answer_max_bytes,
            places: Arc::new(Semaphore::new(config.concurrency)),
        })
    }

    /// Asks a backend.
    ///
    /// # Cancel safety
    /// A dropped call gives its place back; the backend may have been asked.
    pub(super) async fn ask(&self, backend: &Backend, question: &Bytes) -> Result<Answer, Failure> {
        if !backend.breaker.lets_through(Instant::now()) {
            return Err(Failure::LeftAlone);
        }
        let asked = self.ask_again(backend, question).await;
        match &asked {
            Ok(_) => backend.breaker.succeeded(),
            // It was not asked at all.
            Err(Failure::Busy) => {}
            Err(_) => {
                if backend.breaker.failed(Instant::now()) {
                    tracing::warn!("a backend of the hooks fails and is left alone for a while");
                }
            }
        }
        asked
    }

    async fn ask_again(&self, backend: &Backend, question: &Bytes) -> Result<Answer, Failure> {
        let mut repeats = 0;
        loop {
            let failure = match self.attempt(&backend.url, question).await {
                Err(failure) if failure.may_be_repeated() && repeats < self.retries => failure,
                outcome => return outcome,
            };
            tracing::debug!(%failure, repeats, "a hook is repeated");
            let longest = self.retry_pause * 2_u32.saturating_pow(repeats);
            let pause = spread(Duration::ZERO, longest.min(RETRY_PAUSE_MAX));
            repeats += 1;
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn attempt(&self, url: &Url, question: &Bytes) -> Result<Answer, Failure> {
        let place = timeout(self.timeout, self.places.acquire()).await;
        // The places are never closed, so only the time can be over.
        let Ok(Ok(_place)) = place else {
            return Err(Failure::Busy);
        };
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let signature = signature::sign(self.secret.expose().as_bytes(), seconds, question);
        let request = self
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(signature::HEADER, signature)
            .body(question.clone());
        let no_answer = |error: reqwest::Error| Failure::NoAnswer(error.without_url());
        let mut response = request.send().await.map_err(no_answer)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > self.answer_max_bytes {
                return Err(Failure::TooLarge(self.answer_max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer::read(response.status(), &body)?)
    }
}

/// Whose certificates are good.
fn trust(config: &HooksConfig) -> Result<ClientConfig, ConfigError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider serves TLS 1.2 and 1.3");
    let Some(path) = &config.ca else {
        let system = builder.with_platform_verifier().map_err(|error| {
            let accepted = "a machine with certificates of its own, or a PEM file";
            ConfigError::new("hooks.ca", error, accepted)
        })?;
        return Ok(system.with_no_client_auth());
    };
    let refused = || {
        let accepted = "a PEM file with at least one certificate";
        ConfigError::new("hooks.ca", path.display(), accepted)
    };
    let pem = fs::read(path).map_err(|_| refused())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| refused())?;
        roots.add(certificate).map_err(|_| refused())?;
    }
    if roots.is_empty() {
        return Err(refused());
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// However often it has doubled.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
