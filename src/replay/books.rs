//! One campaign's money: the ledger and one core's leases, with a log between them that answers at
//! once.

use crate::budget::{
    Answer, Budget, Command, DayNumber, Held, LeaseBook, LeaseEvent, LeaseRequest, LeaseTerms,
    Ledger, NoHold, Notice, Outcome, Purpose, Windows, apply,
};
use crate::units::{AdvertiserId, CampaignId, Micros, Nanos, Timestamp};

/// The only campaign of a replay.
const CAMPAIGN: CampaignId = CampaignId(1);
/// Who pays for it.
const ADVERTISER: AdvertiserId = AdvertiserId(1);
/// Rounds of requests and answers after which the rest waits for the next occasion. A request is
/// answered by one grant, which asks for nothing more; two suffice.
const ROUNDS_MAX: usize = 8;

pub(super) struct Books {
    ledger: Ledger,
    leases: LeaseBook,
    windows: Windows,
    max_price: Micros,
    edition: u64,
    day: DayNumber,
}

impl Books {
    pub(super) fn new(windows: Windows, max_price: Micros) -> Self {
        let leases = LeaseBook::new(0, 0, 1);
        let day = DayNumber(i32::MIN);
        Self { ledger: Ledger::default(), leases, windows, max_price, edition: 0, day }
    }

    /// The bound of each day from `day` on.
    pub(super) fn set_budget(&mut self, day: DayNumber, daily: Nanos, now: Timestamp) {
        self.edition += 1;
        let command = Command::SetCampaign {
            campaign: CAMPAIGN,
            advertiser: ADVERTISER,
            budget: Budget::daily(daily),
            from: day,
            edition: self.edition,
        };
        if apply(&mut self.ledger, now, &command) == (Outcome::CampaignSet { is_over: true }) {
            self.leases.handle(&LeaseEvent::Cut(CAMPAIGN), now);
        } else {
            self.leases.handle(&LeaseEvent::Available { campaign: CAMPAIGN, is_new: true }, now);
        }
        self.talk(now);
    }

    /// A day begins.
    pub(super) fn turn(&mut self, day: DayNumber, ends: Timestamp, daily: Nanos, now: Timestamp) {
        self.day = day;
        let second = Nanos(daily.0 / super::auction::DAY_MS as i128 * 1_000);
        let terms = LeaseTerms {
            campaign: CAMPAIGN,
            day,
            day_ends: ends,
            max_price: self.max_price,
            headroom: second,
            exploration_ppm: 0,
            is_active: true,
            shares_bound: false,
        };
        self.leases.handle(&LeaseEvent::Terms([terms].into()), now);
        self.talk(now);
    }

    /// Holds a price, or what is left where the account has no more.
    pub(super) fn hold(&mut self, price: Micros, now: Timestamp) -> Option<Held> {
        let held = match self.leases.hold(CAMPAIGN, Purpose::Serve, price, self.windows, now) {
            Ok(held) => Some(held),
            Err(NoHold::OnlyLeft(left)) => {
                self.leases.hold(CAMPAIGN, Purpose::Serve, left, self.windows, now).ok()
            }
            Err(NoHold::NoLease | NoHold::Exhausted) => None,
        };
        if self.leases.has_urgent() {
            self.talk(now);
        }
        held
    }

    /// A billing notice arrives.
    pub(super) fn settle(&mut self, held: &Held, price: Micros, now: Timestamp) {
        let command = Command::settle(held, price, Notice::Billing);
        if let Outcome::Settled { from_lease, .. } = apply(&mut self.ledger, now, &command) {
            self.leases.handle(&LeaseEvent::Settled { held: *held, from_lease }, now);
        }
    }

    /// A loss notice arrives.
    pub(super) fn release(&mut self, held: &Held) {
        self.leases.release(held);
    }

    /// Time has passed: late money becomes free, leases are looked after.
    pub(super) fn tick(&mut self, now: Timestamp) {
        if self.ledger.has_due(now) {
            apply(&mut self.ledger, now, &Command::Expire);
            self.leases.handle(&LeaseEvent::Available { campaign: CAMPAIGN, is_new: true }, now);
        }
        let mut asked = Vec::new();
        self.leases.due(now, &mut asked);
        self.answer(&asked, now);
        self.talk(now);
    }

    /// Billed over all days, and what may still be billed today.
    pub(super) fn standing(&self) -> Option<(Nanos, Nanos)> {
        self.ledger.standing(CAMPAIGN, self.day)
    }

    /// What is held by bids that may still win, and by bids without news in time.
    pub(super) fn tied(&self) -> (Nanos, Nanos) {
        self.leases.tied(CAMPAIGN)
    }

    /// Owed to the exchange and charged to nobody.
    pub(super) fn absorbed(&self) -> Nanos {
        self.ledger.house().absorbed
    }

    /// Whether both inequalities hold everywhere.
    pub(super) fn is_sound(&self) -> bool {
        self.leases.is_sound() && self.ledger.audit().is_ok()
    }

    fn talk(&mut self, now: Timestamp) {
        let mut asked = Vec::new();
        for _ in 0..ROUNDS_MAX {
            self.leases.urgent(now, &mut asked);
            if asked.is_empty() {
                return;
            }
            self.answer(&asked, now);
            asked.clear();
        }
    }

    fn answer(&mut self, asked: &[LeaseRequest], now: Timestamp) {
        for request in asked {
            let (lease, step) = (request.lease, request.step);
            let command = Command::Lease { lease, step, op: request.op };
            let answer = match apply(&mut self.ledger, now, &command) {
                Outcome::Stepped(answer) => answer,
                Outcome::Refused(refusal) => Answer::Refused(refusal),
                _ => continue,
            };
            self.leases.handle(&LeaseEvent::Answered { lease, step, answer }, now);
        }
    }
}
