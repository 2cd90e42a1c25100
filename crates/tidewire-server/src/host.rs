//! The Host of a request: there must be exactly one, and it must be one.
//!
//! Shape: [`HostName`] is read once, before the router, and travels with the request as an extension.
//! Unit: a name or address in lower case, and a port where one was given.
//! Failure: none, two, or something else: 400 and the connection is closed.
//! Source: RFC 9112 section 3.2, RFC 9113 section 8.3.1. hyper accepts no Host and two Hosts.

use std::net::IpAddr;

use http::{
    Request,
    header::HOST,
    uri::{Authority, Scheme},
};

/// Whom a request was sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName {
    /// In lower case; an IPv6 address in brackets.
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl HostName {
    /// The one Host of a request.
    ///
    /// # Errors
    /// A sentence for the client.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Self, &'static str> {
        let mut fields = request.headers().get_all(HOST).iter();
        let field = fields.next();
        if fields.next().is_some() {
            return Err("the request has more than one Host");
        }
        let field = match field {
            Some(value) => Some(value.to_str().ok().and_then(Self::parse).ok_or(NO_HOST)?),
            None => None,
        };
        let target = match request.uri().authority() {
            Some(authority) => Some(Self::from_authority(authority).ok_or(NO_HOST)?),
            None => None,
        };
        match (target, field) {
            (None, None) => Err("the request has no Host"),
            (Some(one), None) | (None, Some(one)) => Ok(one),
            (Some(target), Some(field)) if target == field => Ok(target),
            (Some(_), Some(_)) => Err("the Host is another than the one in the request's target"),
        }
    }

    /// Reads `name`, `name:port` or `[address]:port`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::from_authority(&text.parse().ok()?)
    }

    fn from_authority(authority: &Authority) -> Option<Self> {
        let name = authority.host();
        if name.is_empty() || !name.bytes().all(is_host_byte) {
            return None;
        }
        // RFC 9110 section 4.2.4: no user information; a Host is a name and a port, no more.
        let port = match authority.as_str().strip_prefix(name)? {
            "" => None,
            rest => Some(rest.strip_prefix(':')?.parse().ok()?),
        };
        Some(Self {
            name: name.to_ascii_lowercase(),
            port,
        })
    }

    /// The port, or the scheme's own.
    pub(crate) fn port_for(&self, scheme: &Scheme) -> u16 {
        let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        self.port.unwrap_or(usual)
    }

    /// Whether this is a name of this machine for itself.
    pub(crate) fn is_loopback(&self) -> bool {
        let bare = self.name.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

/// What names and addresses are made of. An underscore is no letter of a host name, but people use it.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)
}

const NO_HOST: &str = "the Host is no name and port";

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, hosts: &[&str]) -> Request<()> {
        let mut builder = Request::builder().uri(uri);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        assert_eq!(
            HostName::of(&request("/", &["Example.com:8443"]))
                .unwrap()
                .name,
            "example.com"
        );
        assert_eq!(
            HostName::of(&request("https://a.b/", &[])).unwrap().name,
            "a.b"
        );
        assert!(HostName::of(&request("/", &[])).is_err());
        assert!(HostName::of(&request("/", &["a", "a"])).is_err());
        assert!(HostName::of(&request("https://a.b/", &["c.d"])).is_err());
        assert!(HostName::of(&request("https://a.b/", &["A.b"])).is_ok());
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "", "user@a", "a@a", "a:1@a", "@a", "a/b", "a b", "a:b", "a:70000", "a:1:2",
            "http://a", "[::1", "a:", "*.a",
        ] {
            assert_eq!(HostName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_ipv6_host_keeps_its_brackets() {
        let host = HostName::parse("[::1]:8443").unwrap();
        assert_eq!((host.name.as_str(), host.port), ("[::1]", Some(8443)));
        assert!(host.is_loopback());
    }

    #[test]
    fn only_the_machines_own_names_are_loopback() {
        for good in [
            "localhost:8444",
            "LOCALHOST",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]",
        ] {
            assert!(HostName::parse(good).unwrap().is_loopback(), "{good}");
        }
        for bad in [
            "localhost.evil.io",
            "evil.io",
            "127.0.0.1.evil.io",
            "10.0.0.1",
            "[::2]",
        ] {
            assert!(!HostName::parse(bad).unwrap().is_loopback(), "{bad}");
        }
    }
}
