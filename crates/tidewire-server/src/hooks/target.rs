//! Which addresses the gateway may send a question to.
//!
//! Shape: [`Targets`] judges one address; as a resolver it looks a name up and gives on only what it allows, so that what
//! was judged is what is connected to. A backend's name may be given another address at any time.
//! Unit: IP addresses. IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4, Teredo) is judged by the IPv4 part.
//! Bound: without `hooks.allow_private` only public addresses; with it also loopback, private and link-local ones. What is
//! no host (unspecified, multicast, broadcast, reserved) and the metadata addresses of clouds never.
//! Failure: a name without an allowed address is not connected to.
//! Source: hazards part 1 row 29; RFC 6890 and the registries of special-purpose addresses that it began.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Targets {
    allow_private: bool,
}

/// What an address is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    /// On this machine or in this network.
    Private,
    /// No host, or one that gives secrets away.
    Never,
}

impl Targets {
    pub(super) fn new(allow_private: bool) -> Self {
        Self { allow_private }
    }

    /// Whether this address may be connected to.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match kind(address) {
            Kind::Public => true,
            Kind::Private => self.allow_private,
            Kind::Never => false,
        }
    }

    async fn addresses(self, host: String) -> io::Result<Vec<SocketAddr>> {
        // The port is the address's; a resolver is asked for the name only.
        let mut found: Vec<SocketAddr> = lookup_host((host, 0)).await?.collect();
        found.retain(|address| self.allows(address.ip()));
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, FORBIDDEN));
        }
        Ok(found)
    }
}

impl Resolve for Targets {
    fn resolve(&self, name: Name) -> Resolving {
        let (targets, host) = (*self, name.as_str().to_owned());
        Box::pin(async move {
            let found = targets.addresses(host).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => match inner_v4(address) {
            Some(inner) => kind_v4(inner),
            None => kind_v6(address),
        },
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    let is_never = address == METADATA_V4
        || address == METADATA_ALIBABA
        || a == 0
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        // Reserved for later (240/4), for protocols (192.0.0/24), 6to4 relays, benchmarks.
        || a >= 240
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && b & 0xfe == 18);
    // 100.64/10 is shared between a provider and its customers.
    let is_private = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || (a == 100 && b & 0xc0 == 64);
    match (is_never, is_private) {
        (true, _) => Kind::Never,
        (false, true) => Kind::Private,
        (false, false) => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let first = address.segments()[0];
    if address == METADATA_V6 || address.is_unspecified() || address.is_multicast() {
        return Kind::Never;
    }
    if address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local() {
        return Kind::Private;
    }
    // Only 2000::/3 is given out; of it 2001:db8::/32 and 3fff::/20 are for documentation.
    let is_documentation = (first, address.segments()[1]) == (0x2001, 0x0db8) || first == 0x3fff;
    match first & 0xe000 == 0x2000 && !is_documentation {
        true => Kind::Public,
        false => Kind::Never,
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b, c, d, e, f) {
        // ::ffff:0:0/96 (mapped).
        (0, 0, 0, 0, 0, 0xffff) => of(g, h),
        // ::/96 (compatible, given up long ago), without :: and ::1.
        (0, 0, 0, 0, 0, 0) if g != 0 || h > 1 => of(g, h),
        // 64:ff9b::/96 (NAT64).
        (0x0064, 0xff9b, 0, 0, 0, 0) => of(g, h),
        // 2002::/16 (6to4).
        (0x2002, high, low, ..) => of(high, low),
        // 2001::/32 (Teredo): the client's address, inverted.
        (0x2001, 0, ..) => of(!g, !h),
        _ => None,
    }
}

const FORBIDDEN: &str = "the name has no address that hooks may connect to";
/// Where clouds give credentials to whoever asks from inside.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const METADATA_ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allow_private: bool, text: &str) -> bool {
        Targets::new(allow_private).allows(text.parse().unwrap())
    }

    #[test]
    fn a_public_address_is_allowed_in_either_case() {
        for text in [
            "93.184.216.34",
            "2606:2800:220:1::1",
            "::ffff:93.184.216.34",
            "64:ff9b::5db8:d822",
        ] {
            assert!(allows(false, text) && allows(true, text), "{text}");
        }
    }

    #[test]
    fn private_loopback_and_link_local_addresses_need_to_be_allowed() {
        for text in [
            "127.0.0.1",
            "127.255.0.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.0.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "fc00::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "2001:0:1:2:3:4:f5ff:fffe",
        ] {
            assert!(!allows(false, text), "{text}");
            assert!(allows(true, text), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_and_the_metadata_addresses_are_never_allowed() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "192.0.0.8",
            "169.254.169.254",
            "100.100.100.200",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "::",
            "ff02::1",
            "fd00:ec2::254",
            "2001:db8::1",
            "::ffff:0.0.0.0",
            "4000::1",
            "fec0::1",
        ] {
            assert!(!allows(false, text) && !allows(true, text), "{text}");
        }
    }

    /// Goal: a name is judged by its addresses. Method: the one name that every machine resolves to loopback.
    #[tokio::test]
    async fn a_name_that_leads_to_loopback_is_not_connected_to() {
        let name = || "localhost".to_owned();
        let refused = Targets::new(false).addresses(name()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        let found = Targets::new(true).addresses(name()).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }
}
