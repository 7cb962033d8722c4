//! Who a client is: its address, also behind proxies that are trusted to say it, and a request's id.
//! It does not know what the address may do, except read metrics.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use hyper::header::HeaderName;

use super::fields::{Fields, text};
use crate::config::Network;

/// What proxies say whom they ask for.
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The most forwarded addresses that are followed: more proxies than anyone has in a row.
const MAX_HOPS: usize = 16;

/// The address of the client behind `peer`: the last one in X-Forwarded-For that is not itself a
/// trusted proxy. What an untrusted peer says of itself does not count.
pub fn address(peer: IpAddr, headers: &impl Fields, trusted: &[Network]) -> IpAddr {
    let mut client = peer.to_canonical();
    if trusted.is_empty() {
        return client;
    }
    let hops = headers
        .values(&FORWARDED_FOR)
        .rev()
        .flat_map(|value| text(value).unwrap_or("").rsplit(','))
        .take(MAX_HOPS);
    for hop in hops {
        if !contains(trusted, client) {
            break;
        }
        match parse(hop.trim()) {
            Some(address) => client = address,
            // The proxy passed something unreadable on: nobody further out is known.
            None => break,
        }
    }
    client
}

/// Whether one of `networks` holds `address`.
pub fn contains(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').split(']').next()?;
    let address = bare.parse::<IpAddr>().or_else(|_| {
        let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
        host.parse::<IpAddr>()
    });
    address.ok().map(|address| address.to_canonical())
}

/// What counts as one client for `limits.sockets_per_address`: an IPv4 address, or the /64 that an
/// IPv6 host can choose its addresses from.
pub fn seat_owner(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

/// A new request's id: unique within this process, and with another beginning in the next.
pub fn request_id() -> String {
    static PROCESS: LazyLock<u32> = LazyLock::new(|| getrandom::u32().unwrap_or_default());
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{:08x}-{:08x}", *PROCESS, NEXT.fetch_add(1, Relaxed))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderMap, HeaderValue};

    use super::*;

    fn network(address: &str, prefix: u8) -> Network {
        Network {
            address: address.parse().unwrap(),
            prefix,
        }
    }
    fn behind(peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = [network("10.0.0.0", 8), network("::1", 128)];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (peer, forwarded, client) in [
            ("192.0.2.1", &["127.0.0.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.9"], "192.0.2.9"),
            ("::ffff:10.0.0.1", &["192.0.2.9"], "192.0.2.9"),
            ("10.0.0.1", &["127.0.0.1, 192.0.2.9"], "192.0.2.9"),
            ("10.0.0.1", &["192.0.2.9, 10.0.0.2"], "192.0.2.9"),
            ("10.0.0.1", &["192.0.2.9", "10.0.0.2"], "192.0.2.9"),
            ("10.0.0.1", &["192.0.2.9:4711"], "192.0.2.9"),
            ("::1", &["[2001:db8::9]:4711"], "2001:db8::9"),
            ("::1", &["2001:db8::9"], "2001:db8::9"),
            ("10.0.0.1", &["192.0.2.9, unknown"], "10.0.0.1"),
        ] {
            assert_eq!(behind(peer, forwarded), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_chain_of_proxies_is_followed_only_so_far() {
        let chain = "192.0.2.9".to_owned() + &", 10.0.0.2".repeat(MAX_HOPS);
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_str(&chain).unwrap());
        let trusted = [network("10.0.0.0", 8)];
        let client = address("10.0.0.1".parse().unwrap(), &headers, &trusted);
        assert_eq!(client.to_string(), "10.0.0.2");
    }

    #[test]
    fn an_ipv6_host_is_one_client() {
        let owner = |text: &str| seat_owner(text.parse().unwrap()).to_string();
        assert_eq!(owner("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(owner("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn request_ids_differ() {
        assert_ne!(request_id(), request_id());
    }
}
