//! What one campaign has on one core for one purpose, and when it asks for more or gives back.

use super::command::LeaseOp;
use super::inbox::{LeaseRequest, LeaseTerms};
use super::line::Line;
use super::plan::{Purpose, share};
use crate::units::{CampaignId, Nanos, Timestamp};

/// Milliseconds until an account that had too little is asked again, unless it says first that there is
/// money: twice as long after each time that it still had too little, since every question is a record.
pub(super) const RETRY_MS: i64 = 1_000;
/// At most so many, where word comes of all that may help: what another core's bids gave back may be asked
/// for meanwhile.
const RETRY_MS_MAX: i64 = 32_000;
/// Milliseconds without a bid after which a lease keeps one bid at cap and returns the rest.
const IDLE_MS: i64 = 10_000;
/// Milliseconds without a bid after which a recall is obeyed in full.
const RECALL_IDLE_MS: i64 = 1_000;
/// Milliseconds that money fetched for a refused bid waits for the next bid.
const FETCHED_MS: i64 = 60_000;
/// Milliseconds of holds at the present rate that a busy lease keeps at hand.
const RENEWAL_MS: i64 = 250;

/// What one campaign has here for one purpose.
#[derive(Debug)]
pub(super) struct Wallet {
    pub(super) purpose: Purpose,
    pub(super) terms: LeaseTerms,
    pub(super) current: Option<Lease>,
    /// Of days past, or with their numbers used up: they only wait for their holds.
    pub(super) draining: Vec<Lease>,
    pub(super) last_bid: Timestamp,
    /// The price that was refused last, until one is held.
    pub(super) needed: Nanos,
    /// Held since the last sweep.
    pub(super) recent: Nanos,
    /// When more was asked for last, or the sweep was, and what of `recent` was held by then.
    pub(super) asked: (Timestamp, Nanos),
    /// Headroom that the present rate asks for.
    pub(super) at_hand: Nanos,
    pub(super) dry_until: Timestamp,
    /// How long it waits after the next answer of too little.
    retry_ms: i64,
    pub(super) is_dry: bool,
    /// Returned its money on request, or heard that there is too little, and has had no bid since.
    pub(super) is_resting: bool,
    pub(super) is_recalled: bool,
    /// A budget is overcommitted: whatever becomes free here goes back and is not bid with.
    pub(super) is_cut: bool,
    pub(super) is_dirty: bool,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) line: Line,
    /// Number of the next step.
    pub(super) step: u32,
    pub(super) waiting: Option<LeaseOp>,
    pub(super) is_open: bool,
    pub(super) told_late: Nanos,
}

impl Wallet {
    pub(super) fn new(purpose: Purpose, terms: LeaseTerms) -> Self {
        Self {
            purpose,
            terms,
            current: None,
            draining: Vec::new(),
            last_bid: Timestamp(i64::MIN),
            needed: Nanos::ZERO,
            recent: Nanos::ZERO,
            asked: (Timestamp(i64::MIN), Nanos::ZERO),
            at_hand: Nanos::ZERO,
            dry_until: Timestamp(i64::MIN),
            retry_ms: RETRY_MS,
            is_dry: false,
            is_resting: false,
            is_recalled: false,
            is_cut: false,
            is_dirty: false,
        }
    }

    pub(super) fn set(&mut self, terms: LeaseTerms) {
        if self.terms.day != terms.day {
            self.dry_until = Timestamp(i64::MIN);
            self.retry_ms = RETRY_MS;
            self.is_resting = false;
        }
        self.terms = terms;
        if self.purpose == Purpose::Explore {
            self.terms.headroom = share(terms.headroom, terms.exploration_ppm);
        }
    }

    /// The account gave all that was asked for, or has too little.
    pub(super) fn granted(&mut self, is_short: bool, now: Timestamp) {
        self.is_dry = is_short;
        if is_short {
            self.dry_until = now.plus_millis(self.retry_ms);
            let most = if self.terms.shares_bound { RETRY_MS } else { RETRY_MS_MAX };
            self.retry_ms = most.min(2 * self.retry_ms);
            self.is_resting = true;
        } else {
            // What was put off when it was opened is not put off any more.
            self.dry_until = now;
            self.retry_ms = RETRY_MS;
        }
    }

    /// Whether there is to be a lease: for what the campaign is for from the start, so that there is
    /// money for the first bid; to explore, when there was a bid that wanted it.
    pub(super) fn is_wanting(&self) -> bool {
        !self.is_resting && (self.purpose == Purpose::Serve || self.needed > Nanos::ZERO)
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.current.iter().chain(&self.draining)
    }

    /// Headroom to keep: a second of planned spend, one bid at cap, or the bid that was refused.
    pub(super) fn target(&self) -> Nanos {
        self.terms.headroom.max(self.one_bid()).max(self.at_hand)
    }

    /// The low-water mark: half of the target, and enough for the next bid.
    pub(super) fn mark(&self) -> Nanos {
        self.one_bid().max(Nanos(self.target().0 / 2))
    }

    fn one_bid(&self) -> Nanos {
        self.terms.max_price.per_impression().max(self.needed)
    }

    /// Once a sweep: what a busy holder uses while one renewal is on its way, so that renewals
    /// come by the time and not by the bid. An account near its end is not hoarded.
    pub(super) fn measure(&mut self, now: Timestamp, elapsed_ms: i64) {
        // Most hold nothing between two sweeps, and a division of this width is long.
        let used = match self.recent.0 {
            0 => 0,
            recent => recent * i128::from(RENEWAL_MS) / i128::from(elapsed_ms.max(1)),
        };
        self.recent = Nanos::ZERO;
        self.asked = (now, Nanos::ZERO);
        self.at_hand = if self.is_dry { Nanos::ZERO } else { Nanos(used.max(self.at_hand.0 / 2)) };
    }

    /// At a renewal: where the one before was a moment ago, the rate has grown since the sweep, and
    /// twice as much is wanted, up to what the rate asks for.
    fn hasten(&mut self, now: Timestamp) {
        let (since, before) = std::mem::replace(&mut self.asked, (now, self.recent));
        let elapsed_ms = now.millis_since(since);
        if elapsed_ms < RENEWAL_MS && !self.is_dry {
            let used = (self.recent - before).0 * i128::from(RENEWAL_MS);
            let wanted = used / i128::from(elapsed_ms.max(1));
            self.at_hand = self.at_hand.max(Nanos(wanted.min(2 * self.target().0)));
        }
    }

    /// The next step of the current lease, unless it waits for an answer to its last.
    pub(super) fn next_step(&mut self, now: Timestamp, is_sweep: bool) -> Option<LeaseOp> {
        let lease = self.current.as_ref().filter(|lease| lease.waiting.is_none())?;
        let target = self.target();
        let headroom = lease.line.headroom();
        if !lease.is_open {
            return Some(LeaseOp::Open {
                campaign: self.terms.campaign,
                day: lease.line.day,
                purpose: self.purpose,
                asked: target,
            });
        }
        if let Some((hold, amount)) = lease.line.uncovered {
            return Some(LeaseOp::Uncovered { hold, amount });
        }
        let late_op = lease.late_op();
        if self.is_cut && headroom > Nanos::ZERO {
            // What is left of it when the account is within its bound again may be asked for.
            self.is_resting = false;
            return Some(LeaseOp::Return { amount: headroom });
        }
        let quiet_ms = now.millis_since(self.last_bid);
        let is_idle = if self.needed == Nanos::ZERO {
            quiet_ms >= RECALL_IDLE_MS
        } else {
            // Too little for the bid that was refused: of use to another at best. Enough: it was
            // fetched for the next bid, and two cores that bid in turns must not take it from each
            // other before either can use it.
            headroom < self.needed || quiet_ms >= FETCHED_MS
        };
        if std::mem::take(&mut self.is_recalled) && is_idle && headroom > Nanos::ZERO {
            self.is_resting = true;
            // It gives up its own wish until its next bid: of several that have too little, one
            // must end with all of it.
            self.needed = Nanos::ZERO;
            return Some(LeaseOp::Return { amount: headroom });
        }
        // Below the mark, and not where the account just said that it has no more.
        let mark = match self.purpose {
            _ if quiet_ms < IDLE_MS => self.mark(),
            Purpose::Serve => self.one_bid(),
            Purpose::Explore => Nanos::ZERO,
        };
        if headroom < mark && !self.is_resting && now >= self.dry_until {
            self.hasten(now);
            return Some(LeaseOp::TopUp { asked: self.target() - headroom });
        }
        let keep = match self.purpose {
            Purpose::Serve => self.one_bid(),
            Purpose::Explore => Nanos::ZERO,
        };
        let keep = match quiet_ms {
            IDLE_MS.. => keep,
            // Losses gave back more than is wanted: others may need it.
            _ if is_sweep && headroom > target + target => target,
            _ => headroom,
        };
        if headroom > keep {
            // Nobody asked for it, and the account has it then: it may be asked again at once.
            self.is_resting = false;
            return Some(LeaseOp::Return { amount: headroom - keep });
        }
        late_op
    }
}

impl Lease {
    pub(super) fn ask(&mut self, campaign: CampaignId, op: LeaseOp) -> LeaseRequest {
        match op {
            // Off the books before it is off the ledger: it can never be held and returned.
            LeaseOp::Return { amount } => self.line.amount -= amount,
            LeaseOp::Late { amount } => self.told_late = amount,
            LeaseOp::Uncovered { .. } => self.line.uncovered = None,
            LeaseOp::Open { .. } | LeaseOp::TopUp { .. } | LeaseOp::Close => {}
        }
        self.waiting = Some(op);
        LeaseRequest { campaign, lease: self.line.id, step: self.step, op }
    }

    fn late_op(&self) -> Option<LeaseOp> {
        let amount = self.line.late;
        (amount != self.told_late).then_some(LeaseOp::Late { amount })
    }

    /// The next step of a lease that gives no more holds.
    pub(super) fn wind_up(&self, campaign: CampaignId, purpose: Purpose) -> Option<LeaseOp> {
        if !self.is_open {
            let (day, asked) = (self.line.day, Nanos::ZERO);
            return Some(LeaseOp::Open { campaign, day, purpose, asked });
        }
        if let Some((hold, amount)) = self.line.uncovered {
            return Some(LeaseOp::Uncovered { hold, amount });
        }
        let amount = self.line.headroom();
        if self.line.is_empty() {
            return Some(LeaseOp::Close);
        }
        if amount > Nanos::ZERO {
            return Some(LeaseOp::Return { amount });
        }
        self.late_op()
    }
}
