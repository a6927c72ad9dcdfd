//! What became of a notice: one outcome each, by the table in the room's documentation.
//!
//! Three sources decide, in this order: the token (refusals), the ledger (whatever charges), and a
//! bounded memory of what was said of the same hold lately ([`History`]), which only tells order
//! and repetition. The memory never decides about money: past its bound a copy is called the first.

use crate::budget::{Due, Outcome as Ledger, Settlement};
use crate::hash::combine;
use crate::notice::token::{Purpose, TokenError};
use crate::units::{HoldId, Nanos, Timestamp};
use serde::{Deserialize, Serialize};

/// Lines of memory, 4 MB. After 131,072 newer holds, half a minute of the fastest stream, in which
/// notices of one bid overtake each other, a line has had two of them on average; one in a thousand
/// has had eight, and has lost what was in it.
const LINES: usize = 1 << 16;

/// Holds that a line remembers.
const HOLDS_PER_LINE: usize = 8;

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])* $name:ident => $label:literal,)*) => {
        /// What became of one notice.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Outcome {
            $($(#[doc = $doc])* $name,)*
        }

        impl Outcome {
            /// All outcomes, in the order of their numbers.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// The label of counters and of the event log.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

outcomes! {
    /// Settled in time, from what the bid held.
    Charged => "charged",
    /// Settled after `decision_ttl`, within the billing window: the money was still held.
    ChargedLate => "charged_late",
    /// Settled after the billing window, from money that was free.
    ChargedAfterWindow => "charged_after_window",
    /// Settled although a loss had come: from the lease or from free money.
    ChargedAfterLoss => "charged_after_loss",
    /// A part or all of it is charged to the house: no budget had it.
    Absorbed => "absorbed",
    /// Genuine, and of a lease that the ledger does not know; the house bears it.
    UnknownHold => "unknown_hold",
    /// The ledger refused it: campaign, day or sequence are none of its own.
    LedgerRefused => "ledger_refused",
    /// The same charge at another price; the first stands.
    Contradiction => "contradiction",
    /// Said before; nothing changes.
    Duplicate => "duplicate",
    /// In the ledger's log, but the ledger did not say in time what it made of it.
    Unconfirmed => "unconfirmed",
    /// Not in the ledger's log: the sender is asked to try again.
    NotDurable => "not_durable",
    /// The notice's work broke off.
    Failed => "failed",
    /// Proves something, and moves nothing.
    Evidence => "evidence",
    /// Proof that comes after the charge: a win after its bill, say.
    EvidenceAfterCharge => "evidence_after_charge",
    /// Proof against a loss that came before.
    EvidenceAfterLoss => "evidence_after_loss",
    /// The hold is free.
    Released => "released",
    /// The hold is free; it had counted as late.
    ReleasedLate => "released_late",
    /// A loss after the billing window: the money was free already.
    ReleasedAfterWindow => "released_after_window",
    /// A loss after the charge, which stands.
    LossAfterCharge => "loss_after_charge",
    /// Counted, and sent on.
    Clicked => "clicked",
    /// Counted and sent on before any bill: the click proves the show.
    ClickedBeforeCharge => "clicked_before_charge",
    /// Sent on; a bid that lost cannot have been clicked, so somebody contradicts himself.
    ClickedAfterLoss => "clicked_after_loss",
    /// The ad is not in the catalog any more: nowhere to send to.
    AdGone => "ad_gone",
    /// A question without effect: HEAD, as link checkers ask.
    Looked => "looked",
    /// No token or no exchange, a parameter twice, too long, or not the text of any token.
    Malformed => "malformed",
    /// No exchange of this name.
    UnknownExchange => "unknown_exchange",
    /// Sealed under a key that is not live.
    UnknownKey => "unknown_key",
    /// Altered or made up.
    Forged => "forged",
    /// Genuine, on the path of another purpose.
    Repurposed => "repurposed",
    /// Genuine, and of another exchange.
    OtherExchange => "other_exchange",
    /// Genuine, and past its end.
    Expired => "expired",
}

impl Outcome {
    /// Whether nothing came of it, so that a stranger could bring it about as often as he likes.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        matches!(
            self,
            Self::Contradiction
                | Self::Duplicate
                | Self::AdGone
                | Self::Looked
                | Self::Malformed
                | Self::UnknownExchange
                | Self::UnknownKey
                | Self::Forged
                | Self::Repurposed
                | Self::OtherExchange
                | Self::Expired
        )
    }

    /// Whether it tells what a user did, of a notice for `purpose`: a genuine click or view that moves
    /// no money. What charges is on a bill in any case, and what is refused tells of nobody.
    #[must_use]
    pub const fn is_behaviour(self, purpose: Purpose) -> bool {
        matches!(purpose, Purpose::Click | Purpose::View)
            && matches!(
                self,
                Self::Evidence
                    | Self::EvidenceAfterCharge
                    | Self::EvidenceAfterLoss
                    | Self::Clicked
                    | Self::ClickedBeforeCharge
                    | Self::ClickedAfterLoss
                    | Self::Duplicate
                    | Self::AdGone
            )
    }

    /// Of a charging notice, by what the ledger made of it: `None` when a copy of it, under the
    /// same position of the log, was told already.
    #[must_use]
    pub fn of_charge(settlement: Option<Settlement>, due: Due, before: Said) -> Self {
        let Some(Settlement { at, outcome }) = settlement else { return Self::Duplicate };
        match outcome {
            Ledger::Duplicate => Self::Duplicate,
            Ledger::Contradiction => Self::Contradiction,
            Ledger::Forgotten { .. } => Self::UnknownHold,
            Ledger::Settled { absorbed, .. } if absorbed > Nanos::ZERO => Self::Absorbed,
            Ledger::Settled { .. } if at > due.free_at() => Self::ChargedAfterWindow,
            Ledger::Settled { .. } if before.has(Purpose::Loss) => Self::ChargedAfterLoss,
            Ledger::Settled { .. } if at > due.late_at() => Self::ChargedLate,
            Ledger::Settled { .. } => Self::Charged,
            _ => Self::LedgerRefused,
        }
    }

    /// Of a notice that charges nothing.
    #[must_use]
    pub fn of_news(purpose: Purpose, due: Due, before: Said, now: Timestamp) -> Self {
        match purpose {
            _ if before.has(purpose) => Self::Duplicate,
            Purpose::Loss if before.is_charged() => Self::LossAfterCharge,
            Purpose::Loss if now > due.free_at() => Self::ReleasedAfterWindow,
            Purpose::Loss if now > due.late_at() => Self::ReleasedLate,
            Purpose::Loss => Self::Released,
            Purpose::Click if before.has(Purpose::Loss) => Self::ClickedAfterLoss,
            Purpose::Click if before.is_charged() => Self::Clicked,
            Purpose::Click => Self::ClickedBeforeCharge,
            _ if before.has(Purpose::Loss) => Self::EvidenceAfterLoss,
            _ if before.is_charged() => Self::EvidenceAfterCharge,
            _ => Self::Evidence,
        }
    }
}

impl From<TokenError> for Outcome {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed => Self::Malformed,
            TokenError::UnknownKey => Self::UnknownKey,
            TokenError::Forged => Self::Forged,
            TokenError::Repurposed => Self::Repurposed,
            TokenError::OtherExchange => Self::OtherExchange,
            TokenError::Expired => Self::Expired,
        }
    }
}

/// What was said of one hold so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said(u8);

impl Said {
    /// The bit above those of the purposes.
    const CHARGED: u8 = 1 << Purpose::ALL.len();

    /// Whether a notice of this purpose came.
    #[must_use]
    pub const fn has(self, purpose: Purpose) -> bool {
        self.0 & (1 << purpose as u8) != 0
    }

    /// Whether one of them charged.
    #[must_use]
    pub const fn is_charged(self) -> bool {
        self.0 & Self::CHARGED != 0
    }
}

/// What was said of each hold lately. Its memory is as large at the start as it ever gets, and a
/// notice touches one cache line of it.
#[derive(Debug)]
pub struct History(Box<[Line]>);

/// The last holds of one hash, the newest first: 56 bits of the hash above what was said; 0 is none.
// Holds come out of sealed tokens: a stranger cannot choose them.
#[repr(align(64))]
#[derive(Clone, Copy, Debug, Default)]
struct Line([u64; HOLDS_PER_LINE]);

impl Default for History {
    fn default() -> Self {
        Self(vec![Line::default(); LINES].into_boxed_slice())
    }
}

impl History {
    /// Notes a notice; what was said of its hold before.
    pub fn note(&mut self, hold: HoldId, purpose: Purpose) -> Said {
        self.set(hold, 1 << purpose as u8)
    }

    /// Notes a charge.
    pub fn note_charge(&mut self, hold: HoldId) {
        self.set(hold, Said::CHARGED);
    }

    fn set(&mut self, hold: HoldId, bit: u8) -> Said {
        let HoldId { lease, sequence } = hold;
        let place = u64::from(lease.node) << 48 | u64::from(lease.core) << 32;
        let number = u64::from(lease.number) << 32 | u64::from(sequence);
        let hash = combine(place | u64::from(lease.boot), number);
        let tag = hash & !u64::from(u8::MAX);
        let Line(line) = &mut self.0[(hash >> 32) as usize % LINES];
        let known = line.iter().position(|said| said & !u64::from(u8::MAX) == tag);
        let known = known.unwrap_or_else(|| {
            line.rotate_right(1);
            line[0] = tag;
            0
        });
        let before = Said(line[known] as u8);
        line[known] |= u64::from(bit);
        before
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
