//! The holder's side: one core's leases, pure, hosted by whoever bids.
//!
//! [`LeaseBook::hold`] says yes or no within nanoseconds and never waits. Everything else happens
//! between bids: [`LeaseBook::urgent`] and [`LeaseBook::sweep`] say what to ask of the ledger,
//! [`LeaseBook::handle`] takes what it answered. A lease has one step on its way at a time, so that its numbers have no gaps.

use super::command::LeaseOp;
use super::inbox::{LeaseEvent, LeaseRequest, LeaseTerms, LeaseTotals};
use super::line::{Due, Held, Line, NoHold, Windows};
use super::view::Answer;
use crate::units::{CampaignId, LeaseId, Micros, Nanos, Timestamp};
use rustc_hash::FxHashMap;

/// Milliseconds between two looks at every lease: the smallest step in which holds come due is ten
/// times that.
const SWEEP_MS: i64 = 1_000;
/// Milliseconds until an account that had too little is asked again, unless it says so first.
const RETRY_MS: i64 = 1_000;
/// Milliseconds without a bid after which a lease keeps one bid at cap and returns the rest.
const IDLE_MS: i64 = 10_000;
/// Milliseconds without a bid after which a recall is obeyed in full.
const RECALL_IDLE_MS: i64 = 1_000;

/// Milliseconds that money fetched for a refused bid waits for the next bid.
const FETCHED_MS: i64 = 60_000;
/// Milliseconds of holds at the present rate that a busy lease keeps at hand.
const RENEWAL_MS: i64 = 250;

/// One core's leases.
#[derive(Debug)]
pub struct LeaseBook {
    node: u16,
    core: u16,
    boot: u32,
    number: u32,
    campaigns: FxHashMap<CampaignId, Campaign>,
    /// Campaign of each lease, by the lease's number.
    owners: FxHashMap<u32, CampaignId>,
    /// Campaigns that cannot wait for the sweep.
    dirty: Vec<CampaignId>,
    /// Whether steps on their way may have got lost.
    is_unheard: bool,
    /// All campaigns in the order of their ids, so that one run asks as the next does; those that
    /// are gone stay until the next terms.
    order: Vec<CampaignId>,
    /// Where in `order` the sweep under way goes on; at its end when there is none.
    next: usize,
    /// When the last sweep began, and how long after the one before.
    swept: Timestamp,
    elapsed_ms: i64,
}

#[derive(Debug)]
struct Campaign {
    terms: LeaseTerms,
    current: Option<Lease>,
    /// Of days past, or with their numbers used up: they only wait for their holds.
    draining: Vec<Lease>,
    last_bid: Timestamp,
    /// The price that was refused last, until one is held.
    needed: Nanos,
    /// Held since the last sweep.
    recent: Nanos,
    /// Headroom that the present rate asks for.
    at_hand: Nanos,
    dry_until: Timestamp,
    is_dry: bool,
    /// Returned its money on request, or heard that there is too little, and has had no bid since.
    is_resting: bool,
    is_recalled: bool,
    /// A budget is overcommitted: whatever becomes free here goes back and is not bid with.
    is_cut: bool,
    is_dirty: bool,
}

#[derive(Debug)]
struct Lease {
    line: Line,
    /// Number of the next step.
    step: u32,
    waiting: Option<LeaseOp>,
    is_open: bool,
    told_late: Nanos,
}

impl LeaseBook {
    /// An empty book. `boot` must grow with every book that is made for this node and core.
    #[must_use]
    pub fn new(node: u16, core: u16, boot: u32) -> Self {
        Self {
            node,
            core,
            boot,
            number: 0,
            campaigns: FxHashMap::default(),
            owners: FxHashMap::default(),
            dirty: Vec::new(),
            is_unheard: false,
            order: Vec::new(),
            next: 0,
            swept: Timestamp(i64::MIN),
            elapsed_ms: 0,
        }
    }

    /// Holds `price` for one bid at `now`, or says why not. Tens of nanoseconds; allocates only
    /// when a new ten seconds or another 64 holds begin.
    ///
    /// # Errors
    /// [`NoHold`]; after [`NoHold::OnlyLeft`] a second try at that price will do.
    pub fn hold(
        &mut self,
        campaign: CampaignId,
        price: Micros,
        windows: Windows,
        now: Timestamp,
    ) -> Result<Held, NoHold> {
        let owner = self.campaigns.get_mut(&campaign).ok_or(NoHold::NoLease)?;
        if !owner.terms.is_active || now >= owner.terms.day_ends {
            return Err(NoHold::NoLease);
        }
        owner.last_bid = owner.last_bid.max(now);
        owner.is_resting = false;
        let cost = price.per_impression();
        let due = Due::of(now, windows);
        let day = owner.terms.day;
        let mark = owner.mark();
        let may_hold = !owner.is_cut;
        let lease = owner.current.as_mut().filter(|lease| lease.is_open);
        let refusal = match lease {
            None => NoHold::NoLease,
            Some(_) if !may_hold => NoHold::Exhausted,
            Some(Lease { line, .. }) => match line.hold(cost, due) {
                Some(hold) => {
                    owner.needed = Nanos::ZERO;
                    owner.recent += cost;
                    let is_low = line.headroom() < mark || line.is_full();
                    if is_low && !owner.is_dirty {
                        owner.is_dirty = true;
                        self.dirty.push(campaign);
                    }
                    return Ok(Held { hold, campaign, day, due, price });
                }
                None => match u64::try_from(line.headroom().0) {
                    Ok(left) if left > 0 && owner.is_dry => NoHold::OnlyLeft(Micros(left)),
                    _ => NoHold::Exhausted,
                },
            },
        };
        owner.needed = cost;
        if !owner.is_dirty {
            owner.is_dirty = true;
            self.dirty.push(campaign);
        }
        Err(refusal)
    }

    /// Frees a hold whose bid lost or whose answer was not sent. Whether it was held until now: a
    /// second loss notice, or one after the bill, changes nothing.
    pub fn release(&mut self, held: &Held) -> bool {
        self.lease(held.hold.lease).is_some_and(|lease| lease.line.release(held))
    }

    /// Whether [`LeaseBook::urgent`] has something to ask.
    #[must_use]
    pub fn has_urgent(&self) -> bool {
        !self.dirty.is_empty() || self.is_unheard
    }

    /// Adds to `out` what the ledger is to be asked at `now`: openings, renewals below the
    /// low-water mark, returns of what is idle or of a day that is over, late sums, closings.
    pub fn due(&mut self, now: Timestamp, out: &mut Vec<LeaseRequest>) {
        self.urgent(now, out);
        while self.sweep(now, usize::MAX, out) {}
    }

    /// Adds to `out` what cannot wait for the sweep.
    pub fn urgent(&mut self, now: Timestamp, out: &mut Vec<LeaseRequest>) {
        if std::mem::take(&mut self.is_unheard) {
            out.extend(self.open_steps());
        }
        for campaign in std::mem::take(&mut self.dirty) {
            self.plan(campaign, now, None, out);
        }
    }

    /// Once a second looks after every campaign, at most `looks` of them in one call: ten thousand
    /// at once would keep bids waiting for milliseconds. Whether there are more to look at now.
    pub fn sweep(&mut self, now: Timestamp, looks: usize, out: &mut Vec<LeaseRequest>) -> bool {
        if self.next >= self.order.len() {
            let elapsed_ms = now.millis_since(self.swept);
            if elapsed_ms < SWEEP_MS {
                return false;
            }
            (self.swept, self.elapsed_ms, self.next) = (now, elapsed_ms, 0);
        }
        let upto = self.next.saturating_add(looks).min(self.order.len());
        for place in self.next..upto {
            self.plan(self.order[place], now, Some(self.elapsed_ms), out);
        }
        self.next = upto;
        upto < self.order.len()
    }

    /// Takes what the ledger says.
    pub fn handle(&mut self, event: &LeaseEvent, now: Timestamp) {
        match event {
            LeaseEvent::Terms(terms) => self.set_terms(terms),
            LeaseEvent::Answered { lease, step, answer } => {
                self.answered(*lease, *step, *answer, now);
            }
            LeaseEvent::Settled { held, from_lease } => {
                if let Some(lease) = self.lease(held.hold.lease) {
                    lease.line.settle(held, *from_lease);
                    if lease.line.uncovered.is_some() {
                        self.touch(held.campaign);
                    }
                }
            }
            LeaseEvent::Recall(campaign) => {
                if let Some(owner) = self.campaigns.get_mut(campaign) {
                    owner.is_recalled = true;
                    self.touch(*campaign);
                }
            }
            LeaseEvent::Cut(campaign) => {
                if let Some(owner) = self.campaigns.get_mut(campaign) {
                    owner.is_cut = true;
                    self.touch(*campaign);
                }
            }
            LeaseEvent::Available(campaign) => {
                if let Some(owner) = self.campaigns.get_mut(campaign) {
                    owner.dry_until = now;
                    owner.is_resting &= owner.needed == Nanos::ZERO;
                    self.touch(*campaign);
                }
            }
            LeaseEvent::AskAgain => self.is_unheard = true,
        }
    }

    /// What bids hold that may still win: late ones not counted.
    #[must_use]
    pub fn held(&self, campaign: CampaignId) -> Nanos {
        self.sum(campaign, |line| line.held)
    }

    /// What is held and late.
    #[must_use]
    pub fn late(&self, campaign: CampaignId) -> Nanos {
        self.sum(campaign, |line| line.late)
    }

    /// What new holds can take, over all leases of the campaign.
    #[must_use]
    pub fn headroom(&self, campaign: CampaignId) -> Nanos {
        self.sum(campaign, Line::headroom)
    }

    /// What a lease keeps at hand for new holds when it is not idle.
    #[must_use]
    pub fn headroom_target(&self, campaign: CampaignId) -> Nanos {
        self.campaigns.get(&campaign).map_or(Nanos::ZERO, Campaign::target)
    }

    /// Whether `settled + held + late <= amount` in every lease, and no sum is below zero.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.campaigns.values().flat_map(Campaign::leases).all(|lease| {
            let line = &lease.line;
            let sums = [line.settled, line.held, line.late, line.headroom()];
            sums.iter().all(|sum| *sum >= Nanos::ZERO)
        })
    }

    /// Over all campaigns, for people and for the end of the process.
    #[must_use]
    pub fn totals(&self) -> LeaseTotals {
        let mut totals =
            LeaseTotals { open_steps: self.open_steps().count(), ..Default::default() };
        for lease in self.campaigns.values().flat_map(Campaign::leases) {
            totals.held += lease.line.held + lease.line.late;
            totals.at_hand += lease.line.headroom();
        }
        totals
    }

    /// The steps that wait for their answers. To ask again is safe: the log takes a step once.
    fn open_steps(&self) -> impl Iterator<Item = LeaseRequest> + '_ {
        let leases = self.campaigns.iter().flat_map(|(id, owner)| owner.leases().map(|l| (*id, l)));
        leases.filter_map(|(campaign, lease)| {
            let (lease, step, op) = (lease.line.id, lease.step, lease.waiting?);
            Some(LeaseRequest { campaign, lease, step, op })
        })
    }

    fn sum(&self, campaign: CampaignId, of: impl Fn(&Line) -> Nanos) -> Nanos {
        let owner = self.campaigns.get(&campaign).into_iter();
        owner.flat_map(Campaign::leases).map(|lease| of(&lease.line)).sum()
    }

    fn lease(&mut self, id: LeaseId) -> Option<&mut Lease> {
        let owner = self.campaigns.get_mut(self.owners.get(&id.number)?)?;
        owner.current.iter_mut().chain(&mut owner.draining).find(|lease| lease.line.id == id)
    }

    fn touch(&mut self, campaign: CampaignId) {
        if let Some(owner) = self.campaigns.get_mut(&campaign)
            && !owner.is_dirty
        {
            owner.is_dirty = true;
            self.dirty.push(campaign);
        }
    }

    fn set_terms(&mut self, terms: &[LeaseTerms]) {
        for owner in self.campaigns.values_mut() {
            owner.terms.is_active = false;
        }
        for terms in terms {
            let owner = self.campaigns.entry(terms.campaign).or_insert_with(|| Campaign {
                terms: *terms,
                current: None,
                draining: Vec::new(),
                last_bid: Timestamp(i64::MIN),
                needed: Nanos::ZERO,
                recent: Nanos::ZERO,
                at_hand: Nanos::ZERO,
                dry_until: Timestamp(i64::MIN),
                is_dry: false,
                is_resting: false,
                is_recalled: false,
                is_cut: false,
                is_dirty: false,
            });
            if owner.terms.day != terms.day {
                owner.dry_until = Timestamp(i64::MIN);
                owner.is_resting = false;
            }
            owner.terms = *terms;
        }
        // A sweep under way ends here: everybody is looked at at once.
        self.order = self.campaigns.keys().copied().collect();
        self.order.sort_unstable();
        self.next = self.order.len();
        for place in 0..self.order.len() {
            self.touch(self.order[place]);
        }
    }

    fn answered(&mut self, id: LeaseId, step: u32, answer: Answer, now: Timestamp) {
        let Some(&campaign) = self.owners.get(&id.number) else { return };
        let Some(owner) = self.campaigns.get_mut(&campaign) else { return };
        let found = owner.current.iter_mut().chain(&mut owner.draining);
        let Some(lease) = found.into_iter().find(|lease| lease.line.id == id) else { return };
        if lease.waiting.is_none() || lease.step != step {
            return;
        }
        let waited = lease.waiting.take();
        lease.step += 1;
        let line = &mut lease.line;
        let is_over = match (answer, waited) {
            (Answer::Granted { amount, is_short }, _) => {
                lease.is_open = true;
                line.amount += amount;
                owner.is_dry = is_short;
                owner.is_cut &= amount == Nanos::ZERO;
                if is_short {
                    owner.dry_until = now.plus_millis(RETRY_MS);
                    owner.is_resting = true;
                }
                false
            }
            (Answer::Returned { amount, is_over }, Some(LeaseOp::Return { amount: offered })) => {
                owner.is_cut &= is_over;
                // A late bill was charged on a part of it first.
                line.amount += offered - amount;
                false
            }
            (Answer::Covered(amount), _) => {
                line.amount += amount;
                line.settled += amount;
                false
            }
            (Answer::Noted | Answer::Returned { .. }, _) => false,
            // Closed, or not ours any more: what is held stays the ledger's business.
            (Answer::Closed | Answer::Refused(_), _) => true,
        };
        if is_over {
            owner.current.take_if(|lease| lease.line.id == id);
            owner.draining.retain(|lease| lease.line.id != id);
            self.owners.remove(&id.number);
        } else {
            line.cover();
        }
        self.touch(campaign);
    }

    /// Asks for what one campaign needs; `swept_ms` is the time since the last sweep, in one.
    fn plan(
        &mut self,
        campaign: CampaignId,
        now: Timestamp,
        swept_ms: Option<i64>,
        out: &mut Vec<LeaseRequest>,
    ) {
        let Some(owner) = self.campaigns.get_mut(&campaign) else { return };
        owner.is_dirty = false;
        if let Some(swept_ms) = swept_ms {
            owner.measure(swept_ms);
        }
        let is_today = owner.terms.is_active && now < owner.terms.day_ends;
        let day = owner.terms.day;
        if let Some(lease) = owner
            .current
            .take_if(|lease| !is_today || lease.line.day != day || lease.line.is_full())
        {
            owner.draining.push(lease);
        }
        if owner.current.is_none() && is_today && !owner.is_resting && now >= owner.dry_until {
            let id =
                LeaseId { node: self.node, core: self.core, boot: self.boot, number: self.number };
            self.number += 1;
            self.owners.insert(id.number, campaign);
            owner.dry_until = now.plus_millis(RETRY_MS); // should the ledger refuse it outright
            owner.current = Some(Lease {
                line: Line::new(id, day),
                step: 0,
                waiting: None,
                is_open: false,
                told_late: Nanos::ZERO,
            });
        }
        for index in 0..owner.draining.len() {
            let lease = &mut owner.draining[index];
            lease.line.age(now);
            if lease.waiting.is_none()
                && let Some(op) = lease.wind_up(campaign)
            {
                out.push(lease.ask(campaign, op));
            }
        }
        if let Some(mut lease) = owner.current.take() {
            lease.line.age(now);
            if lease.waiting.is_none()
                && let Some(op) = owner.next_step(&lease, now, swept_ms.is_some())
            {
                out.push(lease.ask(campaign, op));
            }
            owner.current = Some(lease);
        }
        if owner.draining.is_empty() && owner.current.is_none() && !owner.terms.is_active {
            self.campaigns.remove(&campaign);
        }
    }
}

impl Campaign {
    fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.current.iter().chain(&self.draining)
    }

    /// Headroom to keep: a second of planned spend, one bid at cap, or the bid that was refused.
    fn target(&self) -> Nanos {
        self.terms.headroom.max(self.one_bid()).max(self.at_hand)
    }

    /// The low-water mark: half of the target, and enough for the next bid.
    fn mark(&self) -> Nanos {
        self.one_bid().max(Nanos(self.target().0 / 2))
    }

    fn one_bid(&self) -> Nanos {
        self.terms.max_price.per_impression().max(self.needed)
    }

    /// Once a sweep: what a busy holder uses while one renewal is on its way, so that renewals
    /// come by the time and not by the bid. An account near its end is not hoarded.
    fn measure(&mut self, elapsed_ms: i64) {
        let used = self.recent.0 * i128::from(RENEWAL_MS) / i128::from(elapsed_ms.max(1));
        self.recent = Nanos::ZERO;
        self.at_hand = if self.is_dry { Nanos::ZERO } else { Nanos(used.max(self.at_hand.0 / 2)) };
    }

    /// The next step of the current lease.
    fn next_step(&mut self, lease: &Lease, now: Timestamp, is_sweep: bool) -> Option<LeaseOp> {
        let target = self.target();
        let headroom = lease.line.headroom();
        if !lease.is_open {
            return Some(LeaseOp::Open {
                campaign: self.terms.campaign,
                day: lease.line.day,
                asked: target,
            });
        }
        if let Some((hold, amount)) = lease.line.uncovered {
            return Some(LeaseOp::Uncovered { hold, amount });
        }
        if self.is_cut && headroom > Nanos::ZERO {
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
        let mark = if quiet_ms >= IDLE_MS { self.one_bid() } else { self.mark() };
        if headroom < mark && !self.is_resting && now >= self.dry_until {
            return Some(LeaseOp::TopUp { asked: target - headroom });
        }
        let keep = self.one_bid();
        if quiet_ms >= IDLE_MS && headroom > keep {
            return Some(LeaseOp::Return { amount: headroom - keep });
        }
        // Losses gave back more than is wanted: others may need it.
        if is_sweep && headroom > target + target {
            return Some(LeaseOp::Return { amount: headroom - target });
        }
        lease.late_op()
    }
}

impl Lease {
    fn ask(&mut self, campaign: CampaignId, op: LeaseOp) -> LeaseRequest {
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
    fn wind_up(&self, campaign: CampaignId) -> Option<LeaseOp> {
        if !self.is_open {
            let (day, asked) = (self.line.day, Nanos::ZERO);
            return Some(LeaseOp::Open { campaign, day, asked });
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
