//! Address blocks, as `metrics.allow` and `http.trusted_proxies` list them. It does not know which
//! header a client's address came from.

use std::{fmt, net::IpAddr, str::FromStr};

/// An address block such as `127.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address of the block; bits after the prefix do not count.
    pub address: IpAddr,
    /// Leading bits that are the same in the whole block: at most 32 (IPv4) or 128 (IPv6).
    pub prefix: u8,
}

impl Network {
    /// Whether `address` is in the block. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`, what a
    /// dual-stack socket shows) counts as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, width) = bits(self.address);
        let (other, other_width) = bits(address.to_canonical());
        let ignored = width.saturating_sub(u32::from(self.prefix));
        // A shift by all 128 bits is `None` on both sides: `::/0` holds every IPv6 address.
        width == other_width && own.checked_shr(ignored) == other.checked_shr(ignored)
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl FromStr for Network {
    type Err = ();

    /// Parses `address/prefix` or a single address.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(drop)?
            }
            Some(_) => return Err(()),
            None => width,
        };
        if prefix > width {
            return Err(());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn blocks_contain_their_addresses() {
        assert!(contains("127.0.0.0/8", "127.1.2.3"));
        assert!(contains("127.0.0.9/8", "127.1.2.3"));
        assert!(!contains("127.0.0.0/8", "128.0.0.1"));
        assert!(contains("10.0.0.7", "10.0.0.7"));
        assert!(!contains("10.0.0.7", "10.0.0.6"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
        assert!(contains("::1", "::1"));
    }

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        assert!(contains("127.0.0.0/8", "::ffff:127.0.0.1"));
        assert!(!contains("::/0", "::ffff:127.0.0.1"));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "lan",
            "1.2.3.4/8/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
