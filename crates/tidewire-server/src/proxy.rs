//! Proxies in front of the gateway, and for whom they speak.
//!
//! Shape: [`Proxies`] has the networks of `http.trusted_proxies`. From a connection of one of them a forwarded address is
//! taken; from anybody else the header changes nothing.
//! Unit: addresses of the networks, hops of the header.
//! Bound: one header field of one name. Which of the two a proxy writes is configured, because a proxy passes on the other
//! one as the client has sent it.
//! Failure: what is no address ends the search; the client is then the last proxy that is known. A network that is none is
//! refused at the start.
//! Source: RFC 7239; hazards part 1 row 21.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header::FORWARDED};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, HttpConfig};

/// The header in which the trusted proxies write whom they speak for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// Whose forwarded addresses count.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    trusted: Vec<IpNet>,
    header: ForwardedHeader,
    /// Their connections begin with a header of the PROXY protocol.
    pub(crate) speak_proxy_protocol: bool,
}

impl Proxies {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Something is no network, or nobody is trusted to speak the PROXY protocol.
    pub(crate) fn new(config: &HttpConfig) -> Result<Self, ConfigError> {
        let trusted = config
            .trusted_proxies
            .iter()
            .map(|text| network(text))
            .collect::<Result<Vec<_>, _>>()?;
        if config.proxy_protocol && trusted.is_empty() {
            return Err(ConfigError::new(
                "http.proxy_protocol",
                true,
                "true together with the proxies that speak it in http.trusted_proxies",
            ));
        }
        Ok(Self {
            trusted,
            header: config.forwarded_header,
            speak_proxy_protocol: config.proxy_protocol,
        })
    }

    /// Whether what comes from this address may speak for others.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// For whom a trusted proxy asks: the nearest hop that is no trusted proxy itself.
    pub(crate) fn client(&self, headers: &HeaderMap, proxy: IpAddr) -> IpAddr {
        let mut client = proxy;
        let mut hops = match self.header {
            ForwardedHeader::XForwardedFor => x_forwarded_for(headers),
            ForwardedHeader::Forwarded => forwarded(headers),
        };
        // Each hop was written by the one behind it, so the first that is not trusted ends what can be believed.
        while let Some(Some(address)) = hops.next() {
            client = address.to_canonical();
            if !self.trust(client) {
                break;
            }
        }
        client
    }
}

/// The hops, the nearest first; `None` for one that is no address.
type Hops<'a> = Box<dyn Iterator<Item = Option<IpAddr>> + 'a>;

fn x_forwarded_for(headers: &HeaderMap) -> Hops<'_> {
    let values = headers.get_all("x-forwarded-for").into_iter().rev();
    Box::new(values.flat_map(|value| {
        let text = value.to_str().unwrap_or_default();
        text.rsplit(',').map(|hop| node(hop.trim()))
    }))
}

fn forwarded(headers: &HeaderMap) -> Hops<'_> {
    let values = headers.get_all(FORWARDED).into_iter().rev();
    Box::new(values.flat_map(|value| {
        let text = value.to_str().unwrap_or_default();
        split_from_behind(text, ',').map(|element| {
            let node_of = |pair: &str| {
                let (name, value) = pair.trim().split_once('=')?;
                name.eq_ignore_ascii_case("for")
                    .then(|| node(value.trim_matches('"')))
            };
            split_from_behind(element, ';').find_map(node_of).flatten()
        })
    }))
}

/// Parts of a list outside of quotes. From behind: a quote that a client has left open must not swallow what the proxy
/// wrote after it.
fn split_from_behind(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.rsplit(move |letter| {
        is_quoted ^= letter == '"';
        letter == separator && !is_quoted
    })
}

/// An address as proxies write it: alone, with a port, in brackets.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
}

fn network(text: &str) -> Result<IpNet, ConfigError> {
    let alone = |_| text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(alone).map_err(|_| {
        ConfigError::new(
            "http.trusted_proxies",
            text,
            "networks such as \"10.0.0.0/8\" or \"2001:db8::/32\", or single addresses",
        )
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn proxies(header: ForwardedHeader) -> Proxies {
        Proxies::new(&HttpConfig {
            trusted_proxies: vec!["10.0.0.0/8".into(), "2001:db8::1".into()],
            forwarded_header: header,
            ..HttpConfig::default()
        })
        .unwrap()
    }

    /// Whom a request with these fields, from the proxy 10.0.0.1, comes from.
    fn client(header: ForwardedHeader, fields: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        let proxy = "10.0.0.1".parse().unwrap();
        proxies(header).client(&headers, proxy).to_string()
    }

    #[test]
    fn the_nearest_hop_that_is_not_trusted_is_the_client() {
        for (fields, expected) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["192.0.2.7:4711"], "192.0.2.7"),
            (&["[2001:db8:7::7]:4711"], "2001:db8:7::7"),
            (&["2001:db8:7::7"], "2001:db8:7::7"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
            // What the client itself has written stands before what the proxy wrote.
            (&["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
            (&["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
            (
                &["198.51.100.1, 192.0.2.7, 10.9.9.9,2001:db8::1"],
                "192.0.2.7",
            ),
            (&["192.0.2.7, 10.9.9.9"], "192.0.2.7"),
            // Only proxies, or nothing that can be believed.
            (&["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            (&["192.0.2.7, unknown, 10.2.2.2"], "10.2.2.2"),
            (&["192.0.2.7, "], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            let fields: Vec<_> = fields
                .iter()
                .map(|value| ("x-forwarded-for", *value))
                .collect();
            assert_eq!(
                client(ForwardedHeader::XForwardedFor, &fields),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotes() {
        for (value, expected) in [
            ("for=192.0.2.7", "192.0.2.7"),
            (
                "For=\"192.0.2.7:4711\"; proto=https;by=10.0.0.1",
                "192.0.2.7",
            ),
            ("proto=https; for=\"[2001:db8:7::7]:4711\"", "2001:db8:7::7"),
            (
                "for=198.51.100.1, for=192.0.2.7;by=\"a,b;for=1.1.1.1\"",
                "192.0.2.7",
            ),
            ("for=198.51.100.1, for=192.0.2.7, for=10.2.2.2", "192.0.2.7"),
            // A quote that the client has opened swallows nothing.
            ("for=\"198.51.100.1, for=192.0.2.7", "192.0.2.7"),
            ("for=192.0.2.7, for=_hidden", "10.0.0.1"),
            ("for=192.0.2.7, proto=https", "10.0.0.1"),
        ] {
            let fields = [("forwarded", value)];
            assert_eq!(
                client(ForwardedHeader::Forwarded, &fields),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn the_header_that_is_not_configured_is_never_read() {
        let both = [
            ("forwarded", "for=198.51.100.1"),
            ("x-forwarded-for", "192.0.2.7"),
        ];
        assert_eq!(client(ForwardedHeader::XForwardedFor, &both), "192.0.2.7");
        assert_eq!(client(ForwardedHeader::Forwarded, &both), "198.51.100.1");
    }

    #[test]
    fn only_networks_are_trusted_and_the_proxy_protocol_needs_one() {
        let mut config = HttpConfig {
            trusted_proxies: vec!["10.0.0.0/33".into()],
            ..HttpConfig::default()
        };
        assert!(Proxies::new(&config).is_err());
        config.trusted_proxies.clear();
        config.proxy_protocol = true;
        assert!(Proxies::new(&config).is_err());
        let proxies = proxies(ForwardedHeader::default());
        for (address, is_trusted) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(
                proxies.trust(address.parse().unwrap()),
                is_trusted,
                "{address}"
            );
        }
    }
}
