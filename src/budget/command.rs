//! What is written into the ledger's log. The first byte of a body is the format's version.

use super::day::DayNumber;
use super::line::{Due, Held};
use super::plan::{Budget, Purpose};
use crate::units::{AdvertiserId, CampaignId, HoldId, LeaseId, Micros, Nanos};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Version of the format that this code writes, and the only one that it reads.
const VERSION: u8 = 1;

/// Bytes that a charge takes, which nearly all commands are.
const CHARGE_BYTES: usize = 64;

/// Everything that moves money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Opens a campaign with its budgets, or changes them: one command, so that no part of an
    /// edition can be in force without the others.
    SetCampaign {
        /// Whose budget.
        campaign: CampaignId,
        /// Who pays.
        advertiser: AdvertiserId,
        /// What he allows.
        budget: Budget,
        /// First day on which it holds.
        from: DayNumber,
        /// Grows with each edition; an older one is refused after a newer.
        edition: u64,
    },
    /// One step in the life of a lease, by its holder.
    Lease {
        /// Which lease.
        lease: LeaseId,
        /// Number of the step: 0 opens, each following one is one higher.
        step: u32,
        /// What to do.
        op: LeaseOp,
    },
    /// A charging notice.
    Settle {
        /// The hold that won.
        hold: HoldId,
        /// The campaign of the bid.
        campaign: CampaignId,
        /// The day of the bid.
        day: DayNumber,
        /// The price that was held.
        held: Micros,
        /// The price that is charged.
        price: Micros,
        /// Until when the exchange may bill.
        due: Due,
        /// Which notice said so.
        notice: Notice,
    },
    /// Holders are gone: what their open leases have not settled is late from now on.
    HolderLost {
        /// The node.
        node: u16,
        /// One core of it, or all.
        core: Option<u16>,
        /// Boots up to and including this one.
        boot_upto: u32,
        /// Milliseconds until late money is free: the longest billing window of any exchange.
        window_ms: u64,
    },
    /// Frees what is late past its time and forgets leases long closed.
    Expire,
    /// Changes by hand what a day was charged, once for each key for as long as the day is known.
    Adjust {
        /// Whose day.
        campaign: CampaignId,
        /// Which day.
        day: DayNumber,
        /// Above zero a charge, below a refund.
        amount: Nanos,
        /// Why.
        reason: AdjustReason,
        /// Names the adjustment, among all of the campaign; up to [`ADJUST_KEY_BYTES_MAX`] bytes.
        key: String,
    },
}

/// Bytes of an adjustment's key: it stands in a record, and in the ledger's memory.
pub const ADJUST_KEY_BYTES_MAX: usize = 64;

/// Why a charge is changed by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdjustReason {
    /// The traffic was not human, or not what was sold.
    InvalidTraffic,
    /// The exchange's invoice says something else.
    Discrepancy,
    /// A favour.
    Goodwill,
    /// An adjustment before this one was wrong.
    Correction,
}

/// What a holder does with its lease. Amounts are nanos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseOp {
    /// Opens it with as much of `asked` as is free.
    Open {
        /// For this campaign.
        campaign: CampaignId,
        /// On this day.
        day: DayNumber,
        /// For these bids.
        purpose: Purpose,
        /// Wanted.
        asked: Nanos,
    },
    /// Adds as much of `asked` as is free.
    TopUp {
        /// Wanted.
        asked: Nanos,
    },
    /// Gives back what no hold needs.
    Return {
        /// Given back.
        amount: Nanos,
    },
    /// Says how much of the lease is held by bids without news in time.
    Late {
        /// All of it, not the difference.
        amount: Nanos,
    },
    /// The holder had already freed and used again the money that this hold settled on: it is
    /// charged to the account's free money instead, and what that cannot pay is absorbed.
    Uncovered {
        /// The hold that was billed after its loss or its window.
        hold: HoldId,
        /// How much was used again.
        amount: Nanos,
    },
    /// Ends it; what is left goes back.
    Close,
}

/// The kinds of notice that may charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// `nurl`.
    Win,
    /// `burl`.
    Billing,
    /// Our own pixel.
    Impression,
}

/// A body that is no command of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record is not a ledger command of version {VERSION}")]
pub struct DecodeError;

impl Command {
    /// The command that charges `held` at `price`.
    #[must_use]
    pub fn settle(held: &Held, price: Micros, notice: Notice) -> Self {
        Self::Settle {
            hold: held.hold,
            campaign: held.campaign,
            day: held.day,
            held: held.price,
            price,
            due: held.due,
            notice,
        }
    }

    /// The body for the log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut body = Vec::with_capacity(CHARGE_BYTES);
        body.push(VERSION);
        // It cannot fail: every field has a postcard form and the vector grows. Should it, the
        // lone version byte is a body that every reader refuses.
        postcard::to_extend(self, body).unwrap_or_else(|_| vec![VERSION]).into()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`DecodeError`] for any other version, for bytes left over and for anything malformed.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let (&version, rest) = body.split_first().ok_or(DecodeError)?;
        if version != VERSION {
            return Err(DecodeError);
        }
        match postcard::take_from_bytes(rest) {
            Ok((command, [])) => Ok(command),
            _ => Err(DecodeError),
        }
    }

    /// Whether the command's content says which event it is, so that the same content again is the
    /// same event again. The others get a key of their own each time: an adjustment too, since one
    /// that was refused may be sent again when there is something to refund. The ledger knows those
    /// that it made.
    pub(super) const fn names_itself(&self) -> bool {
        matches!(self, Self::Lease { .. } | Self::Settle { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_carry_a_version_and_nothing_else_is_read() {
        let lease = LeaseId { node: 1, core: 2, boot: 3, number: 4 };
        let op = LeaseOp::TopUp { asked: Nanos(i128::MAX) };
        let command = Command::Lease { lease, step: 5, op };
        let body = command.encode();
        assert_eq!(Command::decode(&body), Ok(command));
        assert_eq!(body[0], VERSION);
        let mut other = body.to_vec();
        other[0] = 2;
        assert_eq!(Command::decode(&other), Err(DecodeError));
        let mut longer = body.to_vec();
        longer.push(0);
        for bad in [&b""[..], &[VERSION], &longer, &body[..body.len() - 1]] {
            assert_eq!(Command::decode(bad), Err(DecodeError));
        }
    }
}
