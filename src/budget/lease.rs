//! The holder's side: one core's leases, pure, hosted by whoever bids.
//!
//! [`LeaseBook::hold`] says yes or no within nanoseconds and never waits. Everything else happens
//! between bids: [`LeaseBook::urgent`] and [`LeaseBook::sweep`] say what to ask of the ledger,
//! [`LeaseBook::handle`] takes what it answered. A lease has one step on its way at a time, so that its numbers have no gaps.

use super::command::LeaseOp;
use super::inbox::{LeaseEvent, LeaseRequest, LeaseTerms, LeaseTotals};
use super::line::{Due, Held, Line, NoHold, Windows};
use super::plan::Purpose;
use super::view::Answer;
use super::wallet::{Lease, RETRY_MS, Wallet};
use crate::units::{CampaignId, LeaseId, Micros, Nanos, Timestamp};
use rustc_hash::FxHashMap;

/// Milliseconds between two looks at every lease: the smallest step in which holds come due is ten
/// times that.
const SWEEP_MS: i64 = 1_000;

/// Both purposes.
const PURPOSES: [Purpose; 2] = [Purpose::Serve, Purpose::Explore];

/// What a lease is opened for. A campaign has one current lease for each purpose.
type Owner = (CampaignId, Purpose);

/// One core's leases.
#[derive(Debug)]
pub struct LeaseBook {
    node: u16,
    core: u16,
    boot: u32,
    number: u32,
    wallets: FxHashMap<Owner, Wallet>,
    /// Owner of each lease, by the lease's number.
    owners: FxHashMap<u32, Owner>,
    /// Those that cannot wait for the sweep.
    dirty: Vec<Owner>,
    /// Whether steps on their way may have got lost.
    is_unheard: bool,
    /// All owners in the order of their ids, so that one run asks as the next does; those that are
    /// gone stay until the next terms.
    order: Vec<Owner>,
    /// Where in `order` the sweep under way goes on; at its end when there is none.
    next: usize,
    /// When the last sweep began, and how long after the one before.
    swept: Timestamp,
    elapsed_ms: i64,
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
            wallets: FxHashMap::default(),
            owners: FxHashMap::default(),
            dirty: Vec::new(),
            is_unheard: false,
            order: Vec::new(),
            next: 0,
            swept: Timestamp(i64::MIN),
            elapsed_ms: 0,
        }
    }

    /// Holds `price` for one bid of this purpose at `now`, or says why not. A bid to explore has
    /// money only where the campaign's terms give it a share, and its first one only asks for it. Tens of nanoseconds; allocates only
    /// when a new ten seconds or another 64 holds begin.
    ///
    /// # Errors
    /// [`NoHold`]; after [`NoHold::OnlyLeft`] a second try at that price will do.
    pub fn hold(
        &mut self,
        campaign: CampaignId,
        purpose: Purpose,
        price: Micros,
        windows: Windows,
        now: Timestamp,
    ) -> Result<Held, NoHold> {
        let owner = self.wallets.get_mut(&(campaign, purpose)).ok_or(NoHold::NoLease)?;
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
                        self.dirty.push((campaign, purpose));
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
            self.dirty.push((campaign, purpose));
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
        for owner in std::mem::take(&mut self.dirty) {
            self.plan(owner, now, None, out);
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
                    if lease.line.uncovered.is_some()
                        && let Some(&owner) = self.owners.get(&held.hold.lease.number)
                    {
                        self.touch(owner);
                    }
                }
            }
            LeaseEvent::Recall(campaign, purpose) => {
                self.tell((*campaign, *purpose), |wallet| wallet.is_recalled = true);
            }
            LeaseEvent::Cut(campaign) => {
                for purpose in PURPOSES {
                    self.tell((*campaign, purpose), |wallet| wallet.is_cut = true);
                }
            }
            LeaseEvent::Available { campaign, is_new } => {
                for purpose in PURPOSES {
                    self.tell((*campaign, purpose), |wallet| {
                        wallet.dry_until = now;
                        // Of new money each takes what it keeps at hand, as when it was opened; what
                        // another returned is for bids.
                        wallet.is_resting &= !is_new && wallet.needed == Nanos::ZERO;
                    });
                }
            }
            LeaseEvent::AskAgain => self.is_unheard = true,
        }
    }

    /// What bids hold that may still win, and what is held by bids that are late.
    #[must_use]
    pub fn tied(&self, campaign: CampaignId) -> (Nanos, Nanos) {
        let lines = self.lines(campaign);
        lines.fold((Nanos::ZERO, Nanos::ZERO), |(held, late), line| {
            (held + line.held, late + line.late)
        })
    }

    /// What new holds can take, over all leases of the campaign.
    #[must_use]
    pub fn headroom(&self, campaign: CampaignId) -> Nanos {
        self.lines(campaign).map(Line::headroom).sum()
    }

    /// What a lease keeps at hand for new holds when it is not idle.
    #[must_use]
    pub fn headroom_target(&self, campaign: CampaignId) -> Nanos {
        self.wallets.get(&(campaign, Purpose::Serve)).map_or(Nanos::ZERO, Wallet::target)
    }

    /// Whether `settled + held + late <= amount` in every lease, and no sum is below zero.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.wallets.values().flat_map(Wallet::leases).all(|lease| {
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
        for lease in self.wallets.values().flat_map(Wallet::leases) {
            totals.held += lease.line.held + lease.line.late;
            totals.at_hand += lease.line.headroom();
        }
        totals
    }

    /// The steps that wait for their answers. To ask again is safe: the log takes a step once.
    fn open_steps(&self) -> impl Iterator<Item = LeaseRequest> + '_ {
        let leases =
            self.wallets.values().flat_map(|one| one.leases().map(|l| (one.terms.campaign, l)));
        leases.filter_map(|(campaign, lease)| {
            let (lease, step, op) = (lease.line.id, lease.step, lease.waiting?);
            Some(LeaseRequest { campaign, lease, step, op })
        })
    }

    fn lines(&self, campaign: CampaignId) -> impl Iterator<Item = &Line> {
        let wallets =
            PURPOSES.iter().filter_map(move |purpose| self.wallets.get(&(campaign, *purpose)));
        wallets.flat_map(Wallet::leases).map(|lease| &lease.line)
    }

    fn lease(&mut self, id: LeaseId) -> Option<&mut Lease> {
        let owner = self.wallets.get_mut(self.owners.get(&id.number)?)?;
        owner.current.iter_mut().chain(&mut owner.draining).find(|lease| lease.line.id == id)
    }

    fn touch(&mut self, owner: Owner) {
        self.tell(owner, |_| {});
    }

    /// Changes what one owner knows, and looks after it before the next sweep.
    fn tell(&mut self, owner: Owner, change: impl FnOnce(&mut Wallet)) {
        let Some(wallet) = self.wallets.get_mut(&owner) else { return };
        change(wallet);
        if !wallet.is_dirty {
            wallet.is_dirty = true;
            self.dirty.push(owner);
        }
    }

    fn set_terms(&mut self, terms: &[LeaseTerms]) {
        for wallet in self.wallets.values_mut() {
            wallet.terms.is_active = false;
        }
        for terms in terms {
            for purpose in PURPOSES {
                if purpose == Purpose::Serve || terms.exploration_ppm > 0 {
                    let wallet = self.wallets.entry((terms.campaign, purpose));
                    wallet.or_insert_with(|| Wallet::new(purpose, *terms)).set(*terms);
                }
            }
        }
        // A sweep under way ends here: everybody is looked at at once.
        self.order = self.wallets.keys().copied().collect();
        self.order.sort_unstable();
        self.next = self.order.len();
        for place in 0..self.order.len() {
            self.touch(self.order[place]);
        }
    }

    fn answered(&mut self, id: LeaseId, step: u32, answer: Answer, now: Timestamp) {
        let Some(&key) = self.owners.get(&id.number) else { return };
        let Some(owner) = self.wallets.get_mut(&key) else { return };
        let is_current = owner.current.as_ref().is_some_and(|lease| lease.line.id == id);
        let found = owner.current.iter_mut().chain(&mut owner.draining);
        let Some(lease) = found.into_iter().find(|lease| lease.line.id == id) else { return };
        if lease.waiting.is_none() || lease.step != step {
            return;
        }
        let waited = lease.waiting.take();
        lease.step += 1;
        let line = &mut lease.line;
        let mut granted = None;
        let is_over = match (answer, waited) {
            (Answer::Granted { amount, is_short }, _) => {
                lease.is_open = true;
                line.amount += amount;
                owner.is_cut &= amount == Nanos::ZERO;
                granted = Some(is_short);
                false
            }
            (Answer::Returned { amount, is_over }, Some(LeaseOp::Return { amount: offered })) => {
                owner.is_cut &= is_over;
                // A late bill was charged on a part of it first.
                line.amount += offered - amount;
                if is_current && amount > Nanos::ZERO && !is_over && !owner.is_resting {
                    // Nobody asked for it: whatever the account said before, it has this now.
                    owner.is_dry = false;
                    owner.dry_until = now;
                }
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
        if let Some(is_short) = granted {
            owner.granted(is_short, now);
        }
        self.touch(key);
    }

    /// Asks for what one owner needs; `swept_ms` is the time since the last sweep, in one.
    fn plan(
        &mut self,
        key: Owner,
        now: Timestamp,
        swept_ms: Option<i64>,
        out: &mut Vec<LeaseRequest>,
    ) {
        let (campaign, purpose) = key;
        let Some(owner) = self.wallets.get_mut(&key) else { return };
        owner.is_dirty = false;
        if let Some(swept_ms) = swept_ms {
            owner.measure(now, swept_ms);
        }
        let is_today = owner.terms.is_active && now < owner.terms.day_ends;
        let day = owner.terms.day;
        if let Some(lease) = owner
            .current
            .take_if(|lease| !is_today || lease.line.day != day || lease.line.is_full())
        {
            owner.draining.push(lease);
        }
        if owner.current.is_none() && is_today && owner.is_wanting() && now >= owner.dry_until {
            let id =
                LeaseId { node: self.node, core: self.core, boot: self.boot, number: self.number };
            self.number += 1;
            self.owners.insert(id.number, key);
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
                && let Some(op) = lease.wind_up(campaign, purpose)
            {
                out.push(lease.ask(campaign, op));
            }
        }
        if let Some(lease) = &mut owner.current {
            lease.line.age(now);
        }
        if let Some(op) = owner.next_step(now, swept_ms.is_some())
            && let Some(lease) = &mut owner.current
        {
            out.push(lease.ask(campaign, op));
        }
        if owner.draining.is_empty() && owner.current.is_none() && !owner.terms.is_active {
            self.wallets.remove(&key);
        }
    }
}
