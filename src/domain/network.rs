//! Where a client is: what counts as one place when something is limited for each address.

use std::net::IpAddr;

/// The bits of an IPv6 address that a site has for itself (RFC 6177).
const SITE_BITS: u32 = 48;
/// The bits that name one of a site's networks. Whoever has one address of it has them all (RFC 4291, section 2.5.4).
const NETWORK_BITS: u32 = 64;

/// One client's network: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(masked(address, NETWORK_BITS))
    }

    /// The site that the network is part of: the /48 of an IPv6 network, an IPv4 address itself.
    #[must_use]
    pub fn site(self) -> Self {
        Self(masked(self.0, SITE_BITS))
    }
}

/// An IPv6 address with nothing after so many bits; an IPv4 address, also one in IPv6's form, as it is.
fn masked(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << (u128::BITS - bits))).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().expect("an address"))
    }

    #[test]
    fn an_ipv6_subscriber_is_one_network_and_one_site_whatever_address_is_used() {
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("2001:db8:1:2::1").site(), network("2001:db8:1:3::1").site());
        assert_ne!(network("2001:db8:1::1").site(), network("2001:db8:2::1").site());
    }

    #[test]
    fn each_ipv4_address_is_a_network_and_a_site() {
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1").site(), network("192.0.2.1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
