//! The ledger as one would explain it on a sheet of paper. It keeps lists and adds them up at every
//! question, so that it has no sum that could be forgotten; only commands and outcomes are shared
//! with the ledger.

use outbid::budget::{Answer, Budget, Command, DayNumber, LeaseOp, Outcome, Refusal};
use outbid::units::{AdvertiserId, CampaignId, HoldId, LeaseId, Nanos};
use std::collections::BTreeMap;

/// Whatever has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Advertiser(AdvertiserId),
    Campaign(CampaignId),
    Day(CampaignId, DayNumber),
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
    charges: Vec<(CampaignId, DayNumber, i128)>,
    /// What the house bore, for whom.
    pub absorbed: Vec<(CampaignId, i128)>,
    pub duplicates: u64,
    pub contradictions: u64,
    pub forgotten: u64,
    pub refused: u64,
    editions: BTreeMap<CampaignId, u64>,
    /// What each day costs, from the day on from which it holds.
    daily: BTreeMap<CampaignId, (DayNumber, i128)>,
}

const AMOUNT_MAX: i128 = 10i128.pow(27);
const DAY_MS: i64 = 86_400_000;

impl Model {
    /// Billed, late and leased of an account.
    pub fn sums(&self, name: Name) -> [i128; 3] {
        let has = |campaign, day| match name {
            Name::Advertiser(advertiser) => self.owners.get(&campaign) == Some(&advertiser),
            Name::Campaign(own) => own == campaign,
            Name::Day(own, own_day) => (own, own_day) == (campaign, day),
        };
        let charges = self.charges.iter().filter(|(campaign, day, _)| has(*campaign, *day));
        let leases = || self.leases.values().filter(|lease| has(lease.campaign, lease.day));
        let late: i128 = leases().map(|lease| lease.late).sum();
        let rest: i128 = leases().map(Lease::rest).sum();
        [charges.map(|(.., amount)| amount).sum(), late, rest - late]
    }

    pub fn committed(&self, name: Name) -> i128 {
        self.sums(name).iter().sum()
    }

    pub fn daily_on(&self, campaign: CampaignId, day: DayNumber) -> i128 {
        let daily = self.daily.get(&campaign).filter(|(from, _)| *from <= day);
        daily.map_or(0, |(_, amount)| *amount)
    }

    fn path(&self, campaign: CampaignId, day: DayNumber) -> [Name; 3] {
        let advertiser = self.owners[&campaign];
        [Name::Day(campaign, day), Name::Campaign(campaign), Name::Advertiser(advertiser)]
    }

    /// Bound less committed, the least of the path: below zero after a cut.
    fn left(&self, campaign: CampaignId, day: DayNumber) -> i128 {
        let left = |name| self.bounds[&name].map_or(AMOUNT_MAX, |b| b - self.committed(name));
        self.path(campaign, day).map(left).into_iter().min().unwrap_or(0)
    }

    fn free(&self, campaign: CampaignId, day: DayNumber) -> i128 {
        self.left(campaign, day).clamp(0, AMOUNT_MAX)
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
            Command::Adjust { .. } => unreachable!(),
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
        let &Budget { advertiser_bound, lifetime, daily, .. } = budget;
        for amount in [advertiser_bound, lifetime, Some(daily)].into_iter().flatten() {
            in_range(amount)?;
        }
        if *self.owners.entry(campaign).or_insert(advertiser) != advertiser {
            return Err(Refusal::UnknownCampaign);
        }
        if edition < *self.editions.entry(campaign).or_insert(0) {
            return Err(Refusal::Stale);
        }
        self.editions.insert(campaign, edition);
        self.daily.insert(campaign, (from, daily.0));
        let above = [Name::Campaign(campaign), Name::Advertiser(advertiser)];
        self.bounds.insert(above[0], lifetime.map(|amount| amount.0));
        self.bounds.insert(above[1], advertiser_bound.map(|amount| amount.0));
        let days = Name::Day(campaign, from)..=Name::Day(campaign, DayNumber(i32::MAX));
        self.bounds.range_mut(days.clone()).for_each(|(_, bound)| *bound = Some(daily.0));
        let touched = self.bounds.range(days).map(|(name, _)| *name).chain(above);
        let is_over = |name| self.bounds[&name].is_some_and(|b| self.committed(name) > b);
        Ok(Outcome::CampaignSet { is_over: touched.into_iter().any(is_over) })
    }

    fn step(&mut self, at: i64, id: LeaseId, step: u32, op: LeaseOp) -> Result<Outcome, Refusal> {
        if let LeaseOp::Open { campaign, day, asked, .. } = op {
            if self.leases.contains_key(&id) {
                return Ok(Outcome::Duplicate);
            }
            let asked = in_range(asked)?;
            if !self.owners.contains_key(&campaign) {
                return Err(Refusal::UnknownCampaign);
            }
            let daily = self.daily_on(campaign, day);
            self.bounds.entry(Name::Day(campaign, day)).or_insert(Some(daily));
            let amount = asked.min(self.free(campaign, day));
            self.leases.insert(id, Lease::open(campaign, day, amount));
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
        let (campaign, day) = (lease.campaign, lease.day);
        let answer = match op {
            LeaseOp::Open { .. } => unreachable!(),
            LeaseOp::TopUp { asked } => {
                let amount = in_range(asked)?.min(self.free(campaign, day));
                lease.amount += amount;
                Answer::Granted { amount: Nanos(amount), is_short: amount < asked.0 }
            }
            LeaseOp::Return { amount } => {
                let amount = in_range(amount)?.min(lease.rest());
                lease.returned += amount;
                let is_over = self.left(campaign, day) + amount < 0;
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
                let covered = amount.min(self.free(campaign, day));
                lease.amount += covered;
                lease.settled -= amount - covered;
                self.charges.push((campaign, day, covered - amount));
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
        let is_held = at <= free_at && lease.state != State::Closed;
        let reach = if is_held { held.min(lease.rest()) } else { 0 };
        let from_lease = cost.min(reach);
        let from_free = (cost - from_lease).min(self.free(campaign, day));
        let absorbed = cost - from_lease - from_free;
        lease.settled += from_lease;
        if lease.state == State::Lost {
            lease.returned += reach - from_lease;
        }
        lease.late = lease.late.min(lease.rest());
        self.leases.insert(hold.lease, lease);
        self.settled.insert(hold, cost);
        self.charges.push((campaign, day, from_lease + from_free));
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
    fn open(campaign: CampaignId, day: DayNumber, amount: i128) -> Self {
        let (step, state) = (0, State::Open);
        Self { campaign, day, step, state, amount, settled: 0, returned: 0, late: 0, until: 0 }
    }

    fn close(&mut self, at: i64) {
        self.returned += self.rest();
        (self.state, self.late, self.until) = (State::Closed, 0, at + DAY_MS);
    }
}

fn in_range(amount: Nanos) -> Result<i128, Refusal> {
    (0..=AMOUNT_MAX).contains(&amount.0).then_some(amount.0).ok_or(Refusal::OutOfRange)
}
