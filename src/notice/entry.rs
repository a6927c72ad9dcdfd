//! One record of the event log: what happened, to which bid, for how much, and what came of it.
//!
//! No record names a user, not even by a key: the log is read by people, and lives longer than a
//! session. The first byte of a body is the format's version.

use super::attribution::Converted;
use super::effect::Price;
use super::outcome::Outcome;
use super::token::{BidToken, Purpose};
use crate::units::{AdvertiserId, CampaignId, CreativeId, HoldId, Micros};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Version of the format that this code writes, and the only one that it reads.
const VERSION: u8 = 1;

/// Bytes of the longest body and some; most have half of them.
const BODY_BYTES_MAX: usize = 120;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A notice, click or view of a bid.
    Notice(Purpose, Outcome),
    /// A conversion of an advertiser.
    Conversion(Converted),
    /// Behaviour events of one body that were taken; `count` of them.
    Behaviour,
    /// Behaviour events of one body that were refused; `count` of them.
    BehaviourRefused,
    /// Entries of which nothing came, above those that one second may have; `count` of them.
    Suppressed,
}

impl Subject {
    /// Every [`Subject::kind`].
    pub const KINDS: [&str; 8] =
        ["win", "billing", "loss", "click", "view", "conversion", "behaviour", "suppressed"];

    /// The kind that an operator asks for.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Notice(purpose, _) => purpose.label(),
            Self::Conversion(_) => "conversion",
            Self::Behaviour | Self::BehaviourRefused => "behaviour",
            Self::Suppressed => "suppressed",
        }
    }

    /// What came of it.
    #[must_use]
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Notice(_, outcome) => outcome.label(),
            Self::Conversion(converted) => converted.label(),
            Self::Behaviour => "accepted",
            Self::BehaviourRefused => "rejected",
            Self::Suppressed => "counted",
        }
    }

    /// Whether it tells what a user did beyond what is on a bill. Such entries are shown of a bid that
    /// is asked for, and never in a list, where they could be counted.
    #[must_use]
    pub const fn is_behaviour(self) -> bool {
        match self {
            Self::Notice(purpose, outcome) => outcome.is_behaviour(purpose),
            Self::Conversion(converted) => {
                !matches!(converted, Converted::Malformed | Converted::UnknownAdvertiser)
            }
            Self::Behaviour => true,
            Self::BehaviourRefused | Self::Suppressed => false,
        }
    }

    /// Whether nothing came of it, so that it may be counted in place of being written.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        match self {
            Self::Notice(_, outcome) => outcome.is_idle(),
            Self::Conversion(converted) => !converted.is_counted(),
            Self::BehaviourRefused => true,
            Self::Behaviour | Self::Suppressed => false,
        }
    }
}

/// The bid that an entry speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Of {
    /// Its hold.
    pub hold: HoldId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its creative.
    pub creative: CreativeId,
}

impl Of {
    /// The bid of a token.
    #[must_use]
    pub const fn token(token: &BidToken) -> Self {
        Self { hold: token.hold, campaign: token.campaign, creative: token.creative }
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is about, and what came of it.
    pub subject: Subject,
    /// How many of them; 1 but for behaviour and suppressed entries.
    pub count: u64,
    /// The stable hash of the exchange's name, where there is one.
    pub exchange: Option<u64>,
    /// Whose event it was, where that is known.
    pub advertiser: Option<AdvertiserId>,
    /// The bid, where that is known.
    pub of: Option<Of>,
    /// What was charged, a CPM in the account's currency; of a conversion its value, in micros of
    /// that currency.
    pub price: Option<Micros>,
    /// Where a charged price comes from.
    pub source: Option<Price>,
    /// The order of a conversion that was counted, so that it is known again after a restart.
    pub order: Option<Order>,
}

/// An order, as far as it must be known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Keyed hash of advertiser and order id.
    pub key: u64,
    /// Whether a browser told of it.
    pub is_from_browser: bool,
}

impl Entry {
    /// An entry of one thing of which no more is known.
    #[must_use]
    pub const fn of(subject: Subject) -> Self {
        Self {
            subject,
            count: 1,
            exchange: None,
            advertiser: None,
            of: None,
            price: None,
            source: None,
            order: None,
        }
    }

    /// The body for the log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut body = [VERSION; BODY_BYTES_MAX];
        // It cannot fail: every field has a postcard form, and all together have room.
        let len = postcard::to_slice(self, &mut body[1..]).map_or(0, |fields| fields.len());
        Bytes::copy_from_slice(&body[..=len])
    }

    /// Reads a body; `None` for any other version and for anything malformed.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (&version, rest) = body.split_first()?;
        if version != VERSION {
            return None;
        }
        match postcard::take_from_bytes(rest) {
            Ok((entry, [])) => Some(entry),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::LeaseId;

    #[test]
    fn an_entry_comes_back_as_it_was_and_is_small() {
        let lease = LeaseId { node: u16::MAX, core: u16::MAX, boot: u32::MAX, number: u32::MAX };
        let hold = HoldId { lease, sequence: u32::MAX };
        let of = Of { hold, campaign: CampaignId(u64::MAX), creative: CreativeId(u64::MAX) };
        let entry = Entry {
            exchange: Some(u64::MAX),
            advertiser: Some(AdvertiserId(u64::MAX)),
            of: Some(of),
            price: Some(Micros(u64::MAX)),
            source: Some(Price::Bounded { excess: Micros(u64::MAX) }),
            order: Some(Order { key: u64::MAX, is_from_browser: true }),
            count: u64::MAX,
            ..Entry::of(Subject::Notice(Purpose::Billing, Outcome::Expired))
        };
        let body = entry.encode();
        assert_eq!(Entry::decode(&body), Some(entry));
        assert!(body.len() <= BODY_BYTES_MAX, "{}", body.len());
        for bad in [&b""[..], &body[..body.len() - 1], &[&body[..], &[0]].concat()] {
            assert_eq!(Entry::decode(bad), None);
        }
        let mut newer = body.to_vec();
        newer[0] = 2;
        assert_eq!(Entry::decode(&newer), None);
    }
}
