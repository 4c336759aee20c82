//! Which addresses count as one client in limits per address.

use std::net::IpAddr;

/// The prefix that providers assign to a site (RFC 6177).
const SITE_BITS: u32 = 48;
/// The prefix of a network; a host can use any address in it (RFC 4291, section 2.5.4).
const NETWORK_BITS: u32 = 64;

/// A client's network: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(masked(address, NETWORK_BITS))
    }

    /// Its site: the /48 of an IPv6 network, or the IPv4 address itself.
    pub fn site(self) -> Self {
        Self(masked(self.0, SITE_BITS))
    }
}

/// Clears the bits of an IPv6 address after the first `bits`. Keeps an IPv4 address, even one mapped into IPv6.
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
    fn ipv6_addresses_share_a_network_by_64_bits_and_a_site_by_48() {
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
