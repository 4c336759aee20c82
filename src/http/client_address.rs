//! The client's address: the peer's, or the one that trusted proxies report.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The header that proxies append their peer's address to.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Each proxy appends its own peer's address, so the list is read from the end: an entry is true if its writer is trusted. The
/// first address that is not a trusted proxy's is the client's; the client may have made up the entries before it.
pub(super) fn believed(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut believed = peer.to_canonical();
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    for entry in lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')) {
        if !is_trusted(believed) {
            break;
        }
        match address_in(entry.trim()) {
            Some(address) => believed = address,
            // Not an address, so the proxy that passed it on is the last known one.
            None => break,
        }
    }
    believed
}

/// `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1` or `[2001:db8::1]:1234`.
fn address_in(entry: &str) -> Option<IpAddr> {
    let address = entry.parse().or_else(|_| entry.parse::<SocketAddr>().map(|socket| socket.ip())).ok();
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, line.parse().expect("a header value"));
        }
        let trusted = ["10.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")];
        believed(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn a_strangers_header_is_ignored() {
        assert_eq!(from("192.0.2.9", &["203.0.113.5"]), "192.0.2.9");
        assert_eq!(from("::ffff:192.0.2.9", &[]), "192.0.2.9");
    }

    #[test]
    fn a_trusted_proxys_entry_is_believed_and_its_clients_own_entries_are_not() {
        assert_eq!(from("10.0.0.1", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(from("10.0.0.1", &["1.1.1.1, 203.0.113.5, 10.0.0.2"]), "203.0.113.5");
        assert_eq!(from("10.0.0.1", &["1.1.1.1", "203.0.113.5:4711"]), "203.0.113.5");
        assert_eq!(from("::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_list() {
        assert_eq!(from("10.0.0.1", &["203.0.113.5, unknown"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &["", "10.0.0.3"]), "10.0.0.3");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
    }
}
