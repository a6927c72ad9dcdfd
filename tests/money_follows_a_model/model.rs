//! The ledger as one would explain it on a sheet of paper. It keeps lists and adds them up at every
//! question, so that it has no sum that could be forgotten; only commands and outcomes are shared
//! with the ledger.

use outbid::budget::{
    Answer, Budget, Command, DayNumber, Flight, LeaseOp, Outcome, Purpose, Refusal,
};
use outbid::units::{AdvertiserId, CampaignId, HoldId, LeaseId, Nanos};
use std::collections::BTreeMap;

/// Whatever has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Advertiser(AdvertiserId),
    Campaign(CampaignId),
    Day(CampaignId, DayNumber),
    /// What exploration has of a day.
    Explore(CampaignId, DayNumber),
    /// A calendar month, by its first day.
    Month(CampaignId, DayNumber),
    /// A flight of the present edition, by its first day.
    Flight(CampaignId, DayNumber),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Lost,
    Closed,
}

#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub campaign: CampaignId,
    pub day: DayNumber,
    pub purpose: Purpose,
    pub step: u32,
    pub state: State,
    pub amount: i128,
    pub settled: i128,
    pub returned: i128,
    pub late: i128,
    /// When a lost one is free, or a closed one forgotten.
    pub until: i64,
}

impl Lease {
    pub fn rest(&self) -> i128 {
        self.amount - self.settled - self.returned
    }
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub owners: BTreeMap<CampaignId, AdvertiserId>,
    pub bounds: BTreeMap<Name, Option<i128>>,
    pub leases: BTreeMap<LeaseId, Lease>,
    /// Price of each hold that was charged, ever.
    pub settled: BTreeMap<HoldId, i128>,
    /// What was charged to whom, corrections below zero.
    charges: Vec<(CampaignId, DayNumber, Purpose, i128)>,
    /// What the house bore, for whom.
    pub absorbed: Vec<(CampaignId, i128)>,
    pub duplicates: u64,
    pub contradictions: u64,
    pub forgotten: u64,
    pub refused: u64,
    editions: BTreeMap<CampaignId, u64>,
    /// The present edition, and from which day on it holds.
    budgets: BTreeMap<CampaignId, (DayNumber, Budget)>,
    /// What each day that was opened is to cost.
    planned: BTreeMap<(CampaignId, DayNumber), i128>,
    adjustments: BTreeMap<(CampaignId, String), (DayNumber, Nanos)>,
    pub adjusted: BTreeMap<CampaignId, i128>,
}

const AMOUNT_MAX: i128 = 10i128.pow(27);
/// A closed lease is known as long as its notices are taken.
const KEPT_MS: i64 = 2 * 86_400_000;

impl Model {
    /// Billed, late and leased of an account.
    pub fn sums(&self, name: Name) -> [i128; 3] {
        let has = |campaign, day: DayNumber, purpose| match name {
            Name::Advertiser(advertiser) => self.owners.get(&campaign) == Some(&advertiser),
            Name::Campaign(own) => own == campaign,
            Name::Day(own, own_day) => (own, own_day) == (campaign, day),
            Name::Explore(own, own_day) => {
                (own, own_day) == (campaign, day) && purpose == Purpose::Explore
            }
            Name::Month(own, first) => own == campaign && day.month() == first,
            Name::Flight(own, first) => {
                own == campaign && self.flight(own, first).is_some_and(|flight| flight.has(day))
            }
        };
        let charges = self
            .charges
            .iter()
            .filter(|(campaign, day, purpose, _)| has(*campaign, *day, *purpose));
        let leases = || self.leases.values().filter(|l| has(l.campaign, l.day, l.purpose));
        let late: i128 = leases().map(|lease| lease.late).sum();
        let rest: i128 = leases().map(Lease::rest).sum();
        [charges.map(|(.., amount)| amount).sum(), late, rest - late]
    }

    pub fn committed(&self, name: Name) -> i128 {
        self.sums(name).iter().sum()
    }

    /// The flight that has `day`; of a flight's first day, that flight.
    fn flight(&self, campaign: CampaignId, day: DayNumber) -> Option<&Flight> {
        self.budgets.get(&campaign)?.1.flights.iter().find(|flight| flight.has(day))
    }

    fn planned_on(&self, campaign: CampaignId, day: DayNumber) -> i128 {
        let Some((from, budget)) = self.budgets.get(&campaign) else { return 0 };
        let is_flown = budget.flights.is_empty() || self.flight(campaign, day).is_some();
        if *from <= day && is_flown { budget.daily.0 } else { 0 }
    }

    /// The bound of a day that is not open yet.
    pub fn bound_on(&self, campaign: CampaignId, day: DayNumber) -> i128 {
        let ppm = self.budgets.get(&campaign).map_or(0, |(_, budget)| budget.daily_max_ppm);
        self.planned_on(campaign, day) * i128::from(ppm) / 1_000_000
    }

    fn open_day(&mut self, campaign: CampaignId, day: DayNumber) {
        if !self.planned.contains_key(&(campaign, day)) {
            self.plan(campaign, day);
        }
    }

    fn plan(&mut self, campaign: CampaignId, day: DayNumber) {
        let planned = self.planned_on(campaign, day);
        self.planned.insert((campaign, day), planned);
        self.bounds.insert(Name::Day(campaign, day), Some(self.bound_on(campaign, day)));
        let explores = i128::from(self.budgets[&campaign].1.exploration_ppm);
        self.bounds.insert(Name::Explore(campaign, day), Some(planned * explores / 1_000_000));
    }

    fn bound(&self, name: Name) -> Option<i128> {
        match name {
            Name::Month(campaign, first) => {
                let is_bound = self.budgets[&campaign].1.daily_max_ppm > 1_000_000;
                let days = self.planned.iter();
                let of_it = days.filter(|((own, day), _)| *own == campaign && day.month() == first);
                is_bound.then(|| of_it.map(|(_, planned)| planned).sum())
            }
            Name::Flight(campaign, first) => self.flight(campaign, first).map(|one| one.bound.0),
            _ => self.bounds[&name],
        }
    }

    fn path(&self, campaign: CampaignId, day: DayNumber, purpose: Purpose) -> Vec<Name> {
        let mut path = vec![
            Name::Day(campaign, day),
            Name::Month(campaign, day.month()),
            Name::Campaign(campaign),
            Name::Advertiser(self.owners[&campaign]),
        ];
        path.extend(self.flight(campaign, day).map(|one| Name::Flight(campaign, one.first)));
        path.extend((purpose == Purpose::Explore).then_some(Name::Explore(campaign, day)));
        path
    }

    /// Bound less committed, the least of the path: below zero after a cut.
    fn left(&self, campaign: CampaignId, day: DayNumber, purpose: Purpose) -> i128 {
        let left = |name| self.bound(name).map_or(AMOUNT_MAX, |b| b - self.committed(name));
        self.path(campaign, day, purpose).into_iter().map(left).min().unwrap_or(0)
    }

    fn free(&self, campaign: CampaignId, day: DayNumber, purpose: Purpose) -> i128 {
        self.left(campaign, day, purpose).clamp(0, AMOUNT_MAX)
    }

    fn grantable(&self, campaign: CampaignId, day: DayNumber, purpose: Purpose) -> i128 {
        let is_active = self.budgets[&campaign].1.is_active;
        if is_active { self.free(campaign, day, purpose) } else { 0 }
    }

    /// `free_at` is when the window of a settled hold ends.
    pub fn apply(&mut self, at: i64, command: &Command, free_at: i64) -> Outcome {
        let outcome = match command {
            Command::SetCampaign { .. } => self.set_campaign(command),
            Command::Lease { lease, step, op } => self.step(at, *lease, *step, *op),
            Command::Settle { .. } => self.settle(at, command, free_at),
            Command::HolderLost { node, core, boot_upto, window_ms } => {
                let mut count = 0;
                for (id, lease) in &mut self.leases {
                    let is_of = id.node == *node && core.is_none_or(|core| core == id.core);
                    if is_of && id.boot <= *boot_upto && lease.state == State::Open {
                        (lease.state, lease.late) = (State::Lost, lease.rest());
                        lease.until = at + *window_ms as i64;
                        count += 1;
                    }
                }
                Ok(Outcome::Lost(count))
            }
            Command::Adjust { .. } => self.adjust(command),
            Command::Expire => {
                let mut freed = 0;
                self.leases.retain(|_, lease| lease.state != State::Closed || lease.until > at);
                for lease in self.leases.values_mut().filter(|l| l.state == State::Lost) {
                    if lease.until <= at {
                        freed += lease.rest();
                        lease.close(at);
                    }
                }
                Ok(Outcome::Expired(Nanos(freed)))
            }
        };
        outcome.unwrap_or_else(|refusal| {
            self.refused += 1;
            Outcome::Refused(refusal)
        })
    }

    fn set_campaign(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let &Command::SetCampaign { campaign, advertiser, ref budget, from, edition } = command
        else {
            unreachable!()
        };
        let &Budget { advertiser_bound, lifetime, daily, ref flights, .. } = budget;
        let bounds = flights.iter().map(|flight| flight.bound);
        for amount in [advertiser_bound, lifetime, Some(daily)].into_iter().flatten().chain(bounds)
        {
            in_range(amount)?;
        }
        let is_wrong = flights.iter().any(|flight| flight.last < flight.first)
            || flights.windows(2).any(|two| two[1].first <= two[0].last)
            || !(1_000_000..=2_000_000).contains(&budget.daily_max_ppm);
        if is_wrong {
            return Err(Refusal::OutOfRange);
        }
        if self.owners.get(&campaign).is_some_and(|owner| *owner != advertiser) {
            return Err(Refusal::UnknownCampaign);
        }
        if self.editions.get(&campaign).is_some_and(|before| edition < *before) {
            return Err(Refusal::Stale);
        }
        self.owners.insert(campaign, advertiser);
        self.editions.insert(campaign, edition);
        self.budgets.insert(campaign, (from, budget.clone()));
        let above = [Name::Campaign(campaign), Name::Advertiser(advertiser)];
        self.bounds.insert(above[0], lifetime.map(|amount| amount.0));
        self.bounds.insert(above[1], advertiser_bound.map(|amount| amount.0));
        let days: Vec<_> = self.planned.keys().copied().collect();
        let mut touched = above.to_vec();
        for (own, day) in days.into_iter().filter(|(own, _)| *own == campaign) {
            if day >= from {
                self.plan(own, day);
                touched.extend([Name::Day(own, day), Name::Explore(own, day)]);
            }
            if day.month() >= from.month() {
                touched.push(Name::Month(own, day.month()));
            }
        }
        let flown = flights.iter().filter(|flight| flight.last >= from);
        touched.extend(flown.map(|flight| Name::Flight(campaign, flight.first)));
        let is_over = |name| self.bound(name).is_some_and(|bound| self.committed(name) > bound);
        Ok(Outcome::CampaignSet { is_over: touched.into_iter().any(is_over) })
    }

    fn adjust(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let &Command::Adjust { campaign, day, amount, ref key, .. } = command else {
            unreachable!()
        };
        if let Some(before) = self.adjustments.get(&(campaign, key.clone())) {
            let is_same = *before == (day, amount);
            return Ok(if is_same { Outcome::Duplicate } else { Outcome::Contradiction });
        }
        if !self.owners.contains_key(&campaign) {
            return Err(Refusal::UnknownCampaign);
        }
        let mut billed = amount.0;
        if billed > 0 {
            self.open_day(campaign, day);
            billed = billed.min(self.free(campaign, day, Purpose::Serve));
        } else if self.sums(Name::Day(campaign, day))[0] + billed < 0 {
            return Err(Refusal::Unbilled);
        }
        let absorbed = amount.0.max(0) - billed.max(0);
        self.charges.push((campaign, day, Purpose::Serve, billed));
        self.absorb(campaign, absorbed);
        self.adjustments.insert((campaign, key.clone()), (day, amount));
        *self.adjusted.entry(campaign).or_default() += amount.0;
        Ok(Outcome::Adjusted { billed: Nanos(billed), absorbed: Nanos(absorbed) })
    }

    fn step(&mut self, at: i64, id: LeaseId, step: u32, op: LeaseOp) -> Result<Outcome, Refusal> {
        if let LeaseOp::Open { campaign, day, purpose, asked } = op {
            if self.leases.contains_key(&id) {
                return Ok(Outcome::Duplicate);
            }
            let asked = in_range(asked)?;
            if !self.owners.contains_key(&campaign) {
                return Err(Refusal::UnknownCampaign);
            }
            self.open_day(campaign, day);
            let amount = asked.min(self.grantable(campaign, day, purpose));
            self.leases.insert(id, Lease::open(campaign, day, purpose, amount));
            let is_short = amount < asked;
            return Ok(Outcome::Stepped(Answer::Granted { amount: Nanos(amount), is_short }));
        }
        let mut lease = *self.leases.get(&id).ok_or(Refusal::NotOpen)?;
        if step <= lease.step {
            return Ok(Outcome::Duplicate);
        }
        if lease.state != State::Open {
            return Err(Refusal::NotOpen);
        }
        if step != lease.step + 1 {
            return Err(Refusal::Gap);
        }
        let (campaign, day, purpose) = (lease.campaign, lease.day, lease.purpose);
        let answer = match op {
            LeaseOp::Open { .. } => unreachable!(),
            LeaseOp::TopUp { asked } => {
                let amount = in_range(asked)?.min(self.grantable(campaign, day, purpose));
                lease.amount += amount;
                Answer::Granted { amount: Nanos(amount), is_short: amount < asked.0 }
            }
            LeaseOp::Return { amount } => {
                let amount = in_range(amount)?.min(lease.rest());
                lease.returned += amount;
                let is_over = self.left(campaign, day, purpose) + amount < 0;
                Answer::Returned { amount: Nanos(amount), is_over }
            }
            LeaseOp::Late { amount } => {
                lease.late = in_range(amount)?;
                Answer::Noted
            }
            LeaseOp::Uncovered { hold, amount } => {
                if hold.lease != id || !self.settled.contains_key(&hold) {
                    return Err(Refusal::Mismatch);
                }
                let amount = in_range(amount)?.min(lease.settled);
                let covered = amount.min(self.free(campaign, day, purpose));
                lease.amount += covered;
                lease.settled -= amount - covered;
                self.charges.push((campaign, day, purpose, covered - amount));
                self.absorb(campaign, amount - covered);
                Answer::Covered(Nanos(covered))
            }
            LeaseOp::Close => {
                lease.close(at);
                Answer::Closed
            }
        };
        lease.step = step;
        lease.late = lease.late.min(lease.rest());
        self.leases.insert(id, lease);
        Ok(Outcome::Stepped(answer))
    }

    fn settle(&mut self, at: i64, command: &Command, free_at: i64) -> Result<Outcome, Refusal> {
        let &Command::Settle { hold, campaign, day, held, price, .. } = command else {
            unreachable!()
        };
        let (cost, held) = (i128::from(price.0), i128::from(held.0));
        if hold.sequence >= 1 << 20 {
            return Err(Refusal::OutOfRange);
        }
        if !self.owners.contains_key(&campaign) {
            return Err(Refusal::UnknownCampaign);
        }
        let Some(mut lease) = self.leases.get(&hold.lease).copied() else {
            self.forgotten += 1;
            self.absorb(campaign, cost);
            return Ok(Outcome::Forgotten { absorbed: Nanos(cost) });
        };
        if (lease.campaign, lease.day) != (campaign, day) {
            return Err(Refusal::Mismatch);
        }
        if let Some(before) = self.settled.get(&hold) {
            self.duplicates += 1;
            self.contradictions += u64::from(*before != cost);
            let is_other = *before != cost;
            return Ok(if is_other { Outcome::Contradiction } else { Outcome::Duplicate });
        }
        let purpose = lease.purpose;
        let is_held = at <= free_at && lease.state != State::Closed;
        let reach = if is_held { held.min(lease.rest()) } else { 0 };
        let from_lease = cost.min(reach);
        let from_free = (cost - from_lease).min(self.free(campaign, day, purpose));
        let absorbed = cost - from_lease - from_free;
        lease.settled += from_lease;
        if lease.state == State::Lost {
            lease.returned += reach - from_lease;
        }
        lease.late = lease.late.min(lease.rest());
        self.leases.insert(hold.lease, lease);
        self.settled.insert(hold, cost);
        self.charges.push((campaign, day, purpose, from_lease + from_free));
        self.absorb(campaign, absorbed);
        let [from_lease, from_free, absorbed] = [from_lease, from_free, absorbed].map(Nanos);
        Ok(Outcome::Settled { from_lease, from_free, absorbed })
    }

    fn absorb(&mut self, campaign: CampaignId, amount: i128) {
        if amount > 0 {
            self.absorbed.push((campaign, amount));
        }
    }
}

impl Lease {
    fn open(campaign: CampaignId, day: DayNumber, purpose: Purpose, amount: i128) -> Self {
        let (step, state) = (0, State::Open);
        Self {
            campaign,
            day,
            purpose,
            step,
            state,
            amount,
            settled: 0,
            returned: 0,
            late: 0,
            until: 0,
        }
    }

    fn close(&mut self, at: i64) {
        self.returned += self.rest();
        (self.state, self.late, self.until) = (State::Closed, 0, at + KEPT_MS);
    }
}

fn in_range(amount: Nanos) -> Result<i128, Refusal> {
    (0..=AMOUNT_MAX).contains(&amount.0).then_some(amount.0).ok_or(Refusal::OutOfRange)
}
