//! What an exchange's configuration says of requests as a whole: supply chains, blocked sellers,
//! tests.

use crate::auction::input::KeySet;
use crate::auction::reason::NoBid;
use crate::catalog::domain_key;
use crate::config::{self, SupplyChains, TestRequests};
use crate::hash;
use crate::openrtb::{BidRequest, SupplyChain};

/// Sellers of one chain that are looked at. Real chains have one to five; a longer one than this
/// cannot be held against the blocked sellers cheaply, and counts as one that is not complete.
const NODES_MAX: usize = 32;

/// The rules of one exchange for whole requests.
#[derive(Clone, Debug)]
pub struct Policy {
    schain: SupplyChains,
    blocked: KeySet,
    tests: TestRequests,
}

impl Default for Policy {
    fn default() -> Self {
        Self::of(&config::Exchange::default())
    }
}

impl Policy {
    /// The rules in an exchange's configuration.
    #[must_use]
    pub fn of(exchange: &config::Exchange) -> Self {
        let blocked = exchange.blocked_sellers.iter().map(|entry| match entry.split_once('!') {
            Some((asi, sid)) => seller_key(asi, sid),
            None => domain_key(entry),
        });
        Self { schain: exchange.schain, blocked: blocked.collect(), tests: exchange.test_requests }
    }

    /// Whether a request may be bid on at all.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn admit(&self, request: &BidRequest<'_>) -> Result<(), NoBid> {
        if request.test && self.tests == TestRequests::NoBid {
            return Err(NoBid::TestRequest);
        }
        let chain = request.source.schain.as_ref();
        let is_well = match (self.schain, chain) {
            (SupplyChains::Ignore, _) | (SupplyChains::CompleteIfPresent, None) => true,
            (SupplyChains::RequireComplete, None) => false,
            (_, Some(chain)) => is_complete(chain),
        };
        if !is_well {
            return Err(NoBid::SupplyChainIncomplete);
        }
        match chain {
            Some(chain) if !self.blocked.is_empty() => self.sellers(chain),
            _ => Ok(()),
        }
    }

    fn sellers(&self, chain: &SupplyChain<'_>) -> Result<(), NoBid> {
        if chain.nodes.len() > NODES_MAX {
            return Err(NoBid::SupplyChainIncomplete);
        }
        let is_blocked = chain.nodes.iter().any(|node| {
            self.blocked.has(domain_key(&node.asi))
                || self.blocked.has(seller_key(&node.asi, &node.sid))
        });
        if is_blocked { Err(NoBid::SellerBlocked) } else { Ok(()) }
    }
}

/// A chain that says it is complete, and whose every node can be looked up.
fn is_complete(chain: &SupplyChain<'_>) -> bool {
    chain.complete
        && (1..=NODES_MAX).contains(&chain.nodes.len())
        && chain.nodes.iter().all(|node| !node.asi.trim().is_empty() && !node.sid.trim().is_empty())
}

/// The system's domain in any case, the seller's id to the letter.
fn seller_key(asi: &str, sid: &str) -> u64 {
    hash::combine(domain_key(asi), hash::key(sid.trim().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openrtb::{Limits, parse};

    /// What a policy makes of a `source`.
    fn judged(schain: SupplyChains, blocked: &[&str], source: &str) -> Option<&'static str> {
        let blocked_sellers = blocked.iter().map(|entry| (*entry).to_owned()).collect();
        let config = config::Exchange { schain, blocked_sellers, ..config::Exchange::default() };
        let body = format!(r#"{{"id":"r","imp":[{{"id":"1"}}],"source":{source}}}"#);
        let request = parse(body.as_bytes(), &Limits::default()).expect("parses");
        Policy::of(&config).admit(&request).err().map(NoBid::as_str)
    }

    #[test]
    fn chains_are_held_against_the_policy() {
        use SupplyChains::*;
        let chain = |complete: u8, nodes: &str| {
            format!(r#"{{"schain":{{"ver":"1.0","complete":{complete},"nodes":[{nodes}]}}}}"#)
        };
        let node = r#"{"asi":"a.example","sid":"1","hp":1}"#;
        let many = vec![node; NODES_MAX + 1].join(",");
        let (whole, part) = (chain(1, node), chain(0, node));
        let older = format!(r#"{{"ext":{whole}}}"#);
        let incomplete = Some("supply_chain_incomplete");
        for (source, of_present, of_required) in [
            ("{}", None, incomplete),
            (r#"{"schain":null}"#, None, incomplete),
            (&whole, None, None),
            (&older, None, None),
            (&part, incomplete, incomplete),
            (&format!(r#"{{"ext":{part}}}"#), incomplete, incomplete),
            (&chain(1, ""), incomplete, incomplete),
            (&chain(1, r#"{"asi":"a.example"}"#), incomplete, incomplete),
            (&chain(1, r#"{"sid":"1"}"#), incomplete, incomplete),
            (&chain(1, &many), incomplete, incomplete),
        ] {
            assert_eq!(judged(Ignore, &[], source), None, "{source}");
            assert_eq!(judged(CompleteIfPresent, &[], source), of_present, "{source}");
            assert_eq!(judged(RequireComplete, &[], source), of_required, "{source}");
        }
    }

    #[test]
    fn sellers_are_blocked_by_system_and_id() {
        let source = r#"{"schain":{"complete":0,"nodes":[
            {"asi":"first.example","sid":"A1"},{"asi":"Second.example","sid":"B2"}]}}"#;
        for (entry, is_blocked) in [
            ("first.example!A1", true),
            ("second.EXAMPLE!B2", true),
            ("second.example", true),
            ("second.example!b2", false),
            ("first.example!B2", false),
            ("third.example", false),
        ] {
            let expected = is_blocked.then_some("seller_blocked");
            assert_eq!(judged(SupplyChains::Ignore, &[entry], source), expected, "{entry}");
        }
    }
}
