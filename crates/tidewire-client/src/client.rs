//! A client of one gateway.
//!
//! Shape: address, trust and token, shared by its clones; publishes, and makes subscriptions.
//! Bound: publishing takes at most the deadline given to the builder; each subscription has its own connection.
//! Failure: what cannot work at all (address, certificates, token) is refused by `build`.
//! Source: protocol sections 3, 4 and 7.

use std::{sync::Arc, time::Duration};

use crate::{
    error::ClientError,
    gateway::Gateway,
    request::Request,
    subscription::SubscriptionBuilder,
    tls::Trust,
    transport::{self, Connection, Transport},
};

/// A client. Cheap to clone; clones share the connection that publishes.
#[derive(Debug, Clone)]
pub struct Client {
    gateway: Arc<Gateway>,
    /// The connections of publishes; subscriptions have their own.
    http: reqwest::Client,
    publish_deadline: Duration,
}

/// What a client needs to know; [`ClientBuilder::build`] makes it.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    url: String,
    trust: Trust,
    token: Option<String>,
    publish_deadline: Duration,
}

impl Client {
    /// A client for the gateway at this address, such as `https://localhost:8443`.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            trust: Trust::System,
            token: None,
            publish_deadline: PUBLISH_DEADLINE,
        }
    }

    /// A subscription to topics and patterns.
    pub fn subscribe<I>(&self, patterns: I) -> SubscriptionBuilder
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let topics = patterns.into_iter().map(Into::into).collect();
        SubscriptionBuilder::new(Arc::clone(&self.gateway), topics)
    }

    /// One connection, that ends when it ends: without reconnecting, resuming or dropping repeats. For
    /// tests and tools that cut and resume by themselves.
    ///
    /// # Errors
    /// No connection, or a refusal before anything was opened.
    pub async fn connect(
        &self,
        transport: Transport,
        request: &Request,
    ) -> Result<Connection, ClientError> {
        transport::connect(&self.gateway, transport, request).await
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(crate) fn publish_deadline(&self) -> Duration {
        self.publish_deadline
    }
}

impl ClientBuilder {
    /// Trusts only the certificates in this PEM text, or signed by one of them, instead of the system's.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> ClientBuilder {
        self.trust = Trust::Pem(pem.into());
        self
    }

    /// Trusts whoever answers. For trials on one's own machine: anyone in between can read and change everything.
    #[must_use]
    pub fn insecure(mut self, insecure: bool) -> ClientBuilder {
        if insecure {
            self.trust = Trust::Anything;
        }
        self
    }

    /// An API key or token, sent as `Authorization: Bearer` and never in a URL.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> ClientBuilder {
        self.token = Some(token.into());
        self
    }

    /// How long a publish is repeated. Default 30 s.
    #[must_use]
    pub fn publish_deadline(mut self, deadline: Duration) -> ClientBuilder {
        self.publish_deadline = deadline;
        self
    }

    /// The client. Nothing is connected yet.
    ///
    /// # Errors
    /// An address, certificates or a token that cannot be used.
    pub fn build(self) -> Result<Client, ClientError> {
        let gateway = Gateway::new(&self.url, &self.trust, self.token.as_deref())?;
        Ok(Client {
            http: gateway.http()?,
            gateway: Arc::new(gateway),
            publish_deadline: self.publish_deadline,
        })
    }
}

/// Longer than a failover of the engine takes.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(30);
