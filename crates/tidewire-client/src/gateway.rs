//! Where the gateway is and how to reach it.
//!
//! Shape: base address, trust and token; makes URLs and HTTP clients. It keeps no connection.
//! Bound: `CONNECT_LIMIT` for TCP and TLS together.
//! Failure: an address or a token that cannot be used is refused when the client is built.
//! Source: protocol sections 7 and 9.

use std::{sync::Arc, time::Duration};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustls::ClientConfig;
use url::Url;

use crate::{
    error::{ClientError, innermost},
    tls::{self, Trust},
};

/// The address of a gateway with all that a connection to it needs. Shared by a client's parts.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// Ends with `/`, so that joining a path keeps a prefix.
    base: Url,
    tls: ClientConfig,
    authorization: Option<HeaderValue>,
}

impl Gateway {
    pub(crate) fn new(
        url: &str,
        trust: &Trust,
        token: Option<&str>,
    ) -> Result<Gateway, ClientError> {
        let base = parse(url)?;
        let tls = match base.scheme() {
            "https" => tls::config(trust)?,
            _ => tls::unused(),
        };
        let authorization = token.map(bearer).transpose()?;
        Ok(Gateway {
            base,
            tls,
            authorization,
        })
    }

    /// The address of a path such as `sse`.
    pub(crate) fn url(&self, path: &str) -> Url {
        self.base
            .join(path)
            .expect("a relative path joins an http address")
    }

    /// The base address, for messages.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// A TLS configuration that offers these application protocols; `None` for a plain address.
    pub(crate) fn tls(&self, alpn: &[&[u8]]) -> Option<Arc<ClientConfig>> {
        if self.base.scheme() != "https" {
            return None;
        }
        Some(Arc::new(self.offering(alpn)))
    }

    /// An HTTP client with connections of its own: a subscription that is not read must not hold up
    /// a publish on the same HTTP/2 connection.
    pub(crate) fn http(&self) -> Result<reqwest::Client, ClientError> {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.offering(&[b"h2", b"http/1.1"]))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            // A connection that has gone silent would be taken again by each repeat of a request.
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEP_ALIVE_LIMIT)
            .http2_keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ClientError::Trust(innermost(&error)))
    }

    fn offering(&self, alpn: &[&[u8]]) -> ClientConfig {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        tls
    }
}

/// TCP and TLS together; a gateway on the other side of the world needs one second.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How often a silent HTTP/2 connection is asked whether it lives,
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// and how long it may take to say so.
const KEEP_ALIVE_LIMIT: Duration = Duration::from_secs(5);

fn parse(text: &str) -> Result<Url, ClientError> {
    let refuse = |detail: &str| ClientError::Url {
        url: text.into(),
        detail: detail.into(),
    };
    let mut url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(refuse("it must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("a user name or password does not belong here"));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| ClientError::Trust("the token holds a character that no token has".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(url: &str) -> Gateway {
        Gateway::new(url, &Trust::Anything, None).unwrap()
    }

    #[test]
    fn a_prefix_of_the_address_is_kept() {
        let url = gateway("https://push.example.com/gate").url("sse");
        assert_eq!(url.as_str(), "https://push.example.com/gate/sse");
        let url = gateway("http://[::1]:8080").url("publish");
        assert_eq!(url.as_str(), "http://[::1]:8080/publish");
    }

    #[test]
    fn other_addresses_are_refused() {
        for url in [
            "localhost:8443",
            "wss://localhost",
            "https://u:p@localhost",
            "",
            "https://",
        ] {
            let built = Gateway::new(url, &Trust::Anything, None);
            assert!(matches!(built, Err(ClientError::Url { .. })), "{url:?}");
        }
    }

    #[test]
    fn a_token_with_a_line_end_is_refused() {
        let built = Gateway::new("https://localhost", &Trust::Anything, Some("a\nb"));
        assert!(matches!(built, Err(ClientError::Trust(_))));
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let built = Gateway::new("https://localhost", &Trust::Anything, Some("canary")).unwrap();
        assert!(!format!("{built:?}").contains("canary"));
    }

    #[test]
    fn tls_is_used_for_https_only() {
        assert!(gateway("https://localhost").tls(&[b"http/1.1"]).is_some());
        assert!(gateway("http://localhost").tls(&[b"http/1.1"]).is_none());
        assert!(gateway("http://localhost").http().is_ok());
    }
}
