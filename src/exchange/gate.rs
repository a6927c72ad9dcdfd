//! Who may send bid requests as an exchange.

use crate::config::{Auth, Exchange, Network, is_within};
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// What is asked of each request before its body is read.
#[derive(Clone, Debug)]
pub struct Gate(Proof);

#[derive(Clone, Debug)]
enum Proof {
    None,
    Secret { header: String, secret: Vec<u8> },
    Certificate { header: String, allowed: Vec<String>, proxies: Vec<Network> },
    Address(Vec<Network>),
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The header that proves it is not there.
    #[error("the header that proves which exchange this is, is missing")]
    Missing,
    /// It is there, and says something else, or stands there twice.
    #[error("the proof of which exchange this is, is wrong")]
    Wrong,
    /// The connection comes from somewhere else.
    #[error("the exchange does not send from this address")]
    ForeignAddress,
}

impl Refusal {
    /// The label of the counter.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "auth_missing",
            Self::Wrong => "auth_wrong",
            Self::ForeignAddress => "foreign_address",
        }
    }
}

impl Gate {
    /// The gate that the configuration asks for.
    #[must_use]
    pub fn new(exchange: &Exchange) -> Self {
        Self(match &exchange.auth {
            Auth::None {} => Proof::None,
            Auth::SharedSecret { header, .. } => Proof::Secret {
                header: header.to_ascii_lowercase(),
                secret: exchange.secret.as_ref().map_or_else(Vec::new, |it| it.bytes().to_vec()),
            },
            Auth::MtlsHeader { header, allowed, trusted_proxies } => Proof::Certificate {
                header: header.to_ascii_lowercase(),
                allowed: allowed.clone(),
                proxies: trusted_proxies.clone(),
            },
            Auth::Addresses { allowed } => Proof::Address(allowed.clone()),
        })
    }

    /// Lets a request in, from the address at the other end of its connection; `values` looks up
    /// every value of a header, by its name in lower case.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn admit<'a, V: Iterator<Item = &'a [u8]>>(
        &self,
        peer: Option<IpAddr>,
        values: impl FnOnce(&str) -> V,
    ) -> Result<(), Refusal> {
        let comes_from =
            |networks: &[Network]| peer.is_some_and(|address| is_within(address, networks));
        match &self.0 {
            Proof::None => Ok(()),
            Proof::Secret { header, secret } => {
                let told = only(values(header))?;
                // An empty secret is one that was never read: it admits nobody.
                let is_it = !secret.is_empty() && bool::from(told.ct_eq(secret));
                if is_it { Ok(()) } else { Err(Refusal::Wrong) }
            }
            Proof::Certificate { proxies, .. } if !comes_from(proxies) => {
                Err(Refusal::ForeignAddress)
            }
            Proof::Certificate { header, allowed, .. } => {
                let told = only(values(header))?;
                let is_it = allowed.iter().any(|value| value.as_bytes() == told);
                if is_it { Ok(()) } else { Err(Refusal::Wrong) }
            }
            Proof::Address(networks) if comes_from(networks) => Ok(()),
            Proof::Address(_) => Err(Refusal::ForeignAddress),
        }
    }
}

/// The one value: of two, one may be the client's and the other the proxy's.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<&'a [u8], Refusal> {
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() { Err(Refusal::Wrong) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn gate(auth: Auth) -> Gate {
        let secret = Some(Secret::new(b"correct horse battery"));
        Gate::new(&Exchange { auth, secret, ..Exchange::default() })
    }

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| Network::parse(text).expect(text)).collect()
    }

    /// Gate, address, values of its header, outcome.
    type Case<'a> = (&'a Gate, &'a str, &'a [&'a str], Result<(), Refusal>);

    #[test]
    fn who_proves_it_is_let_in() {
        let header = || "X-Proof".to_owned();
        let secret = gate(Auth::SharedSecret { header: header(), secret_file: None });
        let certificate = gate(Auth::MtlsHeader {
            header: header(),
            allowed: vec!["CN=a".to_owned(), "CN=b".to_owned()],
            trusted_proxies: networks(&["10.0.0.0/8"]),
        });
        let addresses = gate(Auth::Addresses { allowed: networks(&["10.0.0.0/8", "::1"]) });
        let (ours, other) = ("10.0.0.1", "11.0.0.1");
        let (missing, wrong) = (Err(Refusal::Missing), Err(Refusal::Wrong));
        let foreign = Err(Refusal::ForeignAddress);
        let table: &[Case] = &[
            (&gate(Auth::None {}), other, &[], Ok(())),
            (&secret, other, &["correct horse battery"], Ok(())),
            (&secret, other, &[], missing),
            (&secret, other, &[""], wrong),
            (&secret, other, &["correct horse batterY"], wrong),
            (&secret, other, &["correct horse battery", "correct horse battery"], wrong),
            (&certificate, ours, &["CN=b"], Ok(())),
            (&certificate, ours, &["CN=c"], wrong),
            (&certificate, ours, &["CN=evil", "CN=b"], wrong),
            (&certificate, ours, &[], missing),
            (&certificate, other, &["CN=b"], foreign),
            (&addresses, ours, &[], Ok(())),
            (&addresses, "::ffff:10.0.0.1", &[], Ok(())),
            (&addresses, "::1", &[], Ok(())),
            (&addresses, other, &[], foreign),
        ];
        for (gate, peer, values, expected) in table {
            let look_up = |name: &str| {
                assert_eq!(name, "x-proof");
                values.iter().map(|value| value.as_bytes())
            };
            let peer = Some(peer.parse().expect("an address"));
            assert_eq!(gate.admit(peer, look_up), *expected, "{gate:?} {peer:?} {values:?}");
        }
        assert_eq!(addresses.admit(None, |_| std::iter::empty()), foreign);
    }

    #[test]
    fn a_secret_that_was_never_read_admits_nobody() {
        let auth = Auth::SharedSecret { header: "x".to_owned(), secret_file: None };
        let gate = Gate::new(&Exchange { auth, ..Exchange::default() });
        let empty: &[u8] = b"";
        assert_eq!(gate.admit(None, |_| std::iter::once(empty)), Err(Refusal::Wrong));
    }
}
