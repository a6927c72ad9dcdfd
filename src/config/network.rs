//! Networks of addresses, as `10.0.0.0/8`, `2001:db8::/32` or one address alone.

use serde::Deserialize;
use std::net::IpAddr;

/// One network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    first: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads a network. Addresses of version 4 written as version 6 (`::ffff:10.0.0.1`) are what
    /// they stand for. `None` for anything else, also where bits are set beyond the prefix: such a
    /// line means something other than it says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().ok()?;
        let width = width(first);
        let prefix = match prefix {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
            None => width,
        };
        let network = Self { first: first.to_canonical(), prefix };
        let is_whole = first.to_canonical() == first || prefix == width;
        let network = if prefix == width { Self::of(network.first) } else { network };
        let is_first = network.masked(network.first) == bits(network.first);
        (is_whole && network.prefix <= width && is_first).then_some(network)
    }

    const fn of(address: IpAddr) -> Self {
        Self { first: address, prefix: width(address) }
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.first) && self.masked(address) == bits(self.first)
    }

    /// Whether every address of its version does.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.prefix == 0
    }

    /// The bits of an address of the same version as far as the prefix goes.
    fn masked(&self, address: IpAddr) -> u128 {
        let beyond = width(address).saturating_sub(self.prefix);
        let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
        bits(address) & mask
    }
}

const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_bits() as u128,
        IpAddr::V6(six) => six.to_bits(),
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| {
            format!("`{text}` is no network such as 10.0.0.0/8, its first address before the slash")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_what_they_say() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("::ffff:10.1.2.3", "10.1.2.3", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "10.0.0.1", false),
            ("::1", "::1", true),
        ] {
            let network = Network::parse(network).expect(network);
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(network.has(address), expected, "{network:?} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "here", "::/129"]
        {
            assert_eq!(Network::parse(text), None, "{text}");
        }
        assert_eq!(Network::parse("::ffff:10.0.0.0/104"), None, "neither version");
    }
}
