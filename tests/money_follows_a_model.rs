//! Promise: the ledger does what a plain model says, whatever the order of events.
//!
//! Seeded interleavings of everything that moves money run against the ledger and against
//! `model.rs`, which keeps lists in place of sums. After each step the outcome, each account, the
//! house's numbers and both inequalities are compared; a crash cuts the log behind what was
//! acknowledged, and both fold again. Half of the leases have an honest holder and an
//! honest exchange: whatever the others do, their bills are paid in full by their leases.
//!
//! `OUTBID_SEED=n` runs one seed alone, `OUTBID_FULL=1` a thousand times as many.

#[path = "money_follows_a_model/model.rs"]
mod model;

use model::{Model, Name, State};
use outbid::budget::{
    AMOUNT_MAX, AdjustReason, Budget, Command, DayNumber, Due, Flight, LeaseOp, Ledger, Notice,
    Outcome, Purpose, Windows,
};
use outbid::store::{Position, Record};
use outbid::units::{AdvertiserId, CampaignId, HoldId, LeaseId, Micros, Nanos, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const STEPS: u64 = 250;
/// Campaigns with their advertisers: two share one.
const CAMPAIGNS: [(u64, u64); 3] = [(1, 1), (2, 1), (3, 2)];
const DAYS: i32 = 3;
/// 30 January, so that a month ends among the days.
const FIRST_DAY: i32 = 29;
const CAP: u64 = 1_000;
const WINDOWS: Windows = Windows { decision_ttl_ms: 20_000, billing_window_ms: 60_000 };
/// Holds come due in steps of ten seconds, so that the last one of a lost holder does by then.
const LOST_MS: u64 = 70_001;
/// Records that a crash may take: those that nobody was told of.
const TAIL_MAX: usize = 8;

/// A bid's money, as its holder and its exchange know it.
#[derive(Clone, Copy)]
struct Hold {
    id: HoldId,
    campaign: CampaignId,
    day: DayNumber,
    price: u64,
    issued: Timestamp,
    is_lost: bool,
    is_billed: bool,
}

impl Hold {
    fn due(&self) -> Due {
        Due::of(self.issued, WINDOWS)
    }

    /// The window's end by the model's own arithmetic: the next full ten seconds.
    fn free_at(&self) -> i64 {
        let end = self.issued.0 + i64::from(WINDOWS.billing_window_ms);
        (end.div_euclid(10_000) + 1) * 10_000
    }

    fn is_open(&self, at: i64) -> bool {
        !self.is_lost && !self.is_billed && at <= self.free_at()
    }
}

/// What a run must have seen, or it proves less than it says.
type Seen = BTreeMap<String, u64>;

struct World {
    seed: u64,
    random: ChaCha8Rng,
    at: i64,
    ledger: Ledger,
    model: Model,
    log: Vec<(Record, i64)>,
    /// Records that somebody was told of: a crash cannot take them.
    acknowledged: usize,
    editions: u64,
    boot: u32,
    leases: Vec<LeaseId>,
    holds: Vec<Hold>,
    sequences: BTreeMap<LeaseId, u32>,
    seen: Seen,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("OUTBID_SEED={} fails at record {}", self.seed, self.log.len());
        }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: ChaCha8Rng::seed_from_u64(seed),
            at: 1_000_000,
            ledger: Ledger::default(),
            model: Model::default(),
            log: Vec::new(),
            acknowledged: 0,
            editions: 0,
            boot: 1,
            leases: Vec::new(),
            holds: Vec::new(),
            sequences: BTreeMap::new(),
            seen: Seen::new(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.random_range(0..bound)
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    fn step(&mut self) {
        match self.below(31) {
            0 | 1 => self.budget(),
            30 => self.adjust(),
            2..=4 => self.open(),
            5..=10 => self.lease_step(),
            11..=16 => self.hold(),
            17..=23 => self.notice(),
            24 => {
                if !self.holds.is_empty() {
                    let place = self.below(self.holds.len() as u64) as usize;
                    self.holds[place].is_lost |= !self.holds[place].is_billed;
                }
            }
            25 | 26 => {
                let wait = [500, 5_000, 30_000, 90_000][self.below(4) as usize];
                // The log's time never goes back; a clock that does only stands still.
                self.at += (self.below(wait) as i64 - wait as i64 / 10).max(0);
                if self.one_in(40) {
                    self.at += 180_000_000;
                }
            }
            27 => _ = self.append(Command::Expire, 0),
            28 if self.one_in(3) => {
                let core = (self.below(2) == 0).then_some(self.below(2) as u16);
                self.lose(core);
            }
            29 if self.one_in(3) => self.crash(),
            _ => self.acknowledged = self.log.len(),
        }
        self.check();
    }

    fn budget(&mut self) {
        let (campaign, advertiser) = CAMPAIGNS[self.below(3) as usize];
        self.editions += 1;
        let money = |world: &mut Self, most: u64| match world.below(12) {
            0 => 0,
            1 if world.one_in(8) => -1,
            2 if world.one_in(8) => AMOUNT_MAX.0 + 1,
            _ => i128::from(world.below(most * CAP)),
        };
        let daily = Nanos(money(self, 12));
        let bound = |world: &mut Self, amount| (!world.one_in(4)).then_some(Nanos(amount));
        let (lifetime, above) = (money(self, 24), money(self, 36));
        let command = Command::SetCampaign {
            campaign: CampaignId(campaign),
            advertiser: AdvertiserId(if self.one_in(30) { 9 } else { advertiser }),
            budget: Budget {
                advertiser_bound: bound(self, above),
                lifetime: bound(self, lifetime),
                flights: self.flights(),
                daily_max_ppm: [1_000_000, 1_000_000, 1_500_000, 2_000_000][self.below(4) as usize]
                    + u32::from(self.one_in(40)),
                exploration_ppm: [0, 50_000, 100_000][self.below(3) as usize],
                is_active: !self.one_in(6),
                ..Budget::daily(daily)
            },
            from: DayNumber(FIRST_DAY + self.below(DAYS as u64) as i32),
            edition: self.editions.saturating_sub(self.below(3) / 2 * 5),
        };
        if self.append(command, 0) == (Outcome::CampaignSet { is_over: true }) {
            self.saw("a cut below what is committed");
        }
    }

    /// None, or one or two among the days, now and then overlapping.
    fn flights(&mut self) -> Vec<Flight> {
        if self.one_in(2) {
            return Vec::new();
        }
        let cut = FIRST_DAY + self.below(DAYS as u64) as i32;
        let overlap = i32::from(self.one_in(10));
        let days = [(FIRST_DAY, cut), (cut + 1 - overlap, FIRST_DAY + DAYS - 1)];
        let mut flights = Vec::new();
        for (first, last) in days.into_iter().filter(|(first, last)| first <= last) {
            if !self.one_in(4) {
                let bound = Nanos(i128::from(self.below(16 * CAP)));
                flights.push(Flight { first: DayNumber(first), last: DayNumber(last), bound });
            }
        }
        flights
    }

    fn adjust(&mut self) {
        let campaign = CAMPAIGNS[self.below(3) as usize].0;
        let amount = match self.below(10_000) as i128 - 5_000 {
            0 => 1,
            amount => amount,
        };
        let command = Command::Adjust {
            campaign: CampaignId(if self.one_in(30) { 9 } else { campaign }),
            day: DayNumber(FIRST_DAY + self.below(DAYS as u64) as i32),
            amount: Nanos(amount),
            reason: AdjustReason::Correction,
            key: self.below(40).to_string(),
        };
        let outcome = self.append(command, 0);
        match outcome {
            Outcome::Adjusted { billed, .. } if billed < Nanos::ZERO => self.saw("a refund"),
            Outcome::Adjusted { .. } => self.saw("a charge by hand"),
            Outcome::Contradiction => self.saw("a key with another adjustment"),
            _ => {}
        }
    }

    fn open(&mut self) {
        let campaign = CAMPAIGNS[self.below(3) as usize].0;
        let campaign = CampaignId(if self.one_in(30) { 9 } else { campaign });
        let day = DayNumber(FIRST_DAY + self.below(DAYS as u64) as i32);
        let asked = Nanos(i128::from(self.below(6 * CAP)));
        let (core, number) = (self.below(2) as u16, self.leases.len() as u32);
        let again = self.one_in(12).then(|| self.any_lease()).flatten();
        let id = again.unwrap_or(LeaseId { node: 0, core, boot: self.boot, number });
        let purpose = if self.one_in(3) { Purpose::Explore } else { Purpose::Serve };
        let op = LeaseOp::Open { campaign, day, purpose, asked };
        let command = Command::Lease { lease: id, step: 0, op };
        let outcome = self.append(command, 0);
        if again.is_none() && matches!(outcome, Outcome::Stepped(_)) {
            self.leases.push(id);
        }
    }

    fn any_lease(&mut self) -> Option<LeaseId> {
        let place = self.below(self.leases.len().max(1) as u64) as usize;
        self.leases.get(place).copied()
    }

    /// An honest holder gives nothing back that a bid of its may need.
    fn is_honest(lease: LeaseId) -> bool {
        lease.number.is_multiple_of(2)
    }

    fn held(&self, lease: LeaseId) -> i128 {
        let open = self.holds.iter().filter(|hold| hold.id.lease == lease && hold.is_open(self.at));
        open.map(|hold| i128::from(hold.price)).sum()
    }

    fn lease_step(&mut self) {
        let Some(id) = self.any_lease() else { return };
        let known = self.model.leases.get(&id).copied();
        let rest = known.map_or(0, |lease| lease.rest());
        let room = if Self::is_honest(id) { rest - self.held(id) } else { 2 * rest };
        let part = |world: &mut Self, most: i128| Nanos(world.random.random_range(0..=most.max(0)));
        let op = match self.below(8) {
            0..=2 => LeaseOp::TopUp { asked: Nanos(i128::from(self.below(3 * CAP))) },
            3 | 4 => LeaseOp::Return { amount: part(self, room) },
            5 => LeaseOp::Late { amount: part(self, rest * 2) },
            6 if !Self::is_honest(id) && !self.holds.is_empty() => {
                let place = self.below(self.holds.len() as u64) as usize;
                let hold = self.holds[place].id;
                LeaseOp::Uncovered { hold, amount: part(self, i128::from(CAP)) }
            }
            7 if room >= rest => LeaseOp::Close,
            _ => LeaseOp::TopUp { asked: Nanos(if self.one_in(2) { -1 } else { 1 }) },
        };
        let step = known.map_or(1, |lease| lease.step) + 1;
        let step = match self.below(20) {
            0 => step - 1,
            1 => step + 1,
            _ => step,
        };
        let id = match op {
            LeaseOp::Uncovered { hold, .. } if !self.one_in(5) => hold.lease,
            _ => id,
        };
        self.append(Command::Lease { lease: id, step, op }, 0);
    }

    /// A bid is made on money of which its holder has heard.
    fn hold(&mut self) {
        let Some(id) = self.any_lease() else { return };
        let Some(lease) = self.model.leases.get(&id).copied() else { return };
        let price = 1 + self.below(CAP);
        let headroom = lease.rest() - self.held(id);
        let is_in_time = id.boot == self.boot && lease.state == State::Open;
        if Self::is_honest(id) && (!is_in_time || i128::from(price) > headroom) {
            return;
        }
        self.acknowledged = self.log.len();
        let sequence = self.sequences.entry(id).or_default();
        let hold = HoldId { lease: id, sequence: *sequence };
        *sequence += 1;
        let (campaign, day, issued) = (lease.campaign, lease.day, Timestamp(self.at));
        let (is_lost, is_billed) = (false, false);
        self.holds.push(Hold { id: hold, campaign, day, price, issued, is_lost, is_billed });
    }

    /// A charging notice: the first or a copy, at the held price, below it, above it; in time or
    /// late, after a loss, or with something wrong about it.
    fn notice(&mut self) {
        if self.holds.is_empty() {
            return;
        }
        let place = self.below(self.holds.len() as u64) as usize;
        let mut hold = self.holds[place];
        if Self::is_honest(hold.id.lease) && !hold.is_billed && !hold.is_open(self.at) {
            return; // its exchange is honest as well
        }
        let price = match self.below(6) {
            0 => hold.price + self.below(CAP),
            1 => hold.price / 2,
            _ => hold.price,
        };
        match self.below(60) {
            0 => hold.campaign = CampaignId(9),
            1 => hold.day = DayNumber(hold.day.0 + 1),
            2 => hold.id.sequence = u32::MAX,
            _ => {}
        }
        let command = Command::Settle {
            hold: hold.id,
            campaign: hold.campaign,
            day: hold.day,
            held: Micros(hold.price),
            price: Micros(price),
            due: hold.due(),
            notice: Notice::Billing,
        };
        let is_kept = Self::is_honest(hold.id.lease) && hold.is_open(self.at);
        let outcome = self.append(command, hold.free_at());
        if let Outcome::Settled { from_lease, from_free, absorbed } = outcome {
            let cost = i128::from(price);
            assert_eq!(from_lease + from_free + absorbed, Nanos(cost), "due is due");
            if is_kept {
                let own = Nanos(cost.min(i128::from(hold.price)));
                assert_eq!(from_lease, own, "an honest holder's bid is paid by its lease");
                self.saw("an honest bill");
            }
            self.holds[place].is_billed = true;
            let by = [("free money", from_free), ("the house", absorbed)];
            for (who, _) in by.iter().filter(|(_, part)| *part > Nanos::ZERO) {
                self.saw(&format!("a bill paid by {who}"));
            }
            if self.model.leases[&hold.id.lease].state == State::Lost {
                self.saw("a bill of a lost holder");
            }
        }
    }

    fn lose(&mut self, core: Option<u16>) {
        let boot_upto = self.boot;
        self.boot += 1;
        self.append(Command::HolderLost { node: 0, core, boot_upto, window_ms: LOST_MS }, 0);
    }

    /// The process dies: what nobody was told of may be gone, holders are, and the rest is folded
    /// again, by the ledger and by the model.
    fn crash(&mut self) {
        let least = self.acknowledged.max(self.log.len().saturating_sub(TAIL_MAX));
        let kept = self.random.random_range(least..=self.log.len());
        if kept == self.log.len() {
            self.saw("a crash that took nothing");
            let mut again = Ledger::default();
            for (record, _) in &self.log {
                again.fold(record).expect("it folded before");
            }
            assert!(again == self.ledger, "one history, one ledger");
        } else {
            self.saw("a crash that took records");
        }
        let log: Vec<_> = self.log.drain(..kept).collect();
        self.log.clear();
        (self.ledger, self.model) = (Ledger::default(), Model::default());
        for (record, free_at) in &log {
            let (command, outcome) = self.ledger.fold(record).expect("it folded before");
            assert_eq!(self.model.apply(record.at.0, &command, *free_at), outcome);
        }
        self.log = log;
        let settled = &self.model.settled;
        for hold in &mut self.holds {
            // A notice without its answer is sent again.
            hold.is_billed = settled.contains_key(&hold.id);
        }
        self.leases.retain(|id| self.model.leases.contains_key(id));
        // Numbers of leases are not used twice: a new boot counts for itself.
        self.lose(None);
    }

    fn append(&mut self, command: Command, free_at: i64) -> Outcome {
        let record = Record {
            position: Position(self.log.len() as u64 + 1),
            at: Timestamp(self.at),
            idem: 0,
            body: command.encode(),
        };
        let before = self.names().map(|name| (name, self.model.committed(name)));
        let before: BTreeMap<Name, i128> = before.collect();
        let (read, outcome) = self.ledger.fold(&record).expect("the next record");
        assert_eq!(read, command);
        let expected = self.model.apply(self.at, &command, free_at);
        assert_eq!(outcome, expected, "{command:?}");
        self.log.push((record, free_at));
        for name in self.names() {
            let bound = self.model.bounds[&name];
            let above = before.get(&name).copied().unwrap_or(0);
            let committed = self.model.committed(name);
            assert!(bound.is_none_or(|bound| committed <= bound.max(above)), "{name:?} overspent");
        }
        let kind = format!("{outcome:?}");
        self.saw(kind.split([' ', '(', '{']).next().unwrap_or_default());
        if let Outcome::Refused(refusal) = outcome {
            self.saw(&format!("{refusal:?}"));
        }
        outcome
    }

    fn names(&self) -> impl Iterator<Item = Name> {
        self.model.bounds.keys().copied().collect::<Vec<_>>().into_iter()
    }

    fn check(&self) {
        self.ledger.audit().expect("both inequalities");
        for (campaign, _) in CAMPAIGNS.map(|(campaign, owner)| (CampaignId(campaign), owner)) {
            for day in (FIRST_DAY..FIRST_DAY + DAYS).map(DayNumber) {
                let view = self.ledger.view(campaign, day);
                assert_eq!(view.is_some(), self.model.owners.contains_key(&campaign));
                let Some(view) = view else { continue };
                for (name, seen) in
                    [(Name::Day(campaign, day), view.day), (Name::Campaign(campaign), view.total)]
                {
                    let sums = [seen.billed, seen.late, seen.leased].map(|sum| sum.0);
                    assert_eq!(sums, self.model.sums(name), "{name:?}");
                }
                let explore = [view.explore.billed, view.explore.late, view.explore.leased];
                assert_eq!(explore.map(|sum| sum.0), self.model.sums(Name::Explore(campaign, day)));
                let month = Name::Month(campaign, day.month());
                let seen = [view.month.billed, view.month.late, view.month.leased];
                assert_eq!(seen.map(|sum| sum.0), self.model.sums(month));
                if let Some(flight) = view.flight {
                    let name = Name::Flight(campaign, flight.first);
                    let money = flight.money;
                    let seen = [money.billed, money.late, money.leased].map(|sum| sum.0);
                    assert_eq!(seen, self.model.sums(name));
                }
                let adjusted = self.model.adjusted.get(&campaign).copied().unwrap_or(0);
                assert_eq!(view.adjusted.0, adjusted);
                let daily = Some(self.model.bound_on(campaign, day));
                let bound = self.model.bounds.get(&Name::Day(campaign, day)).copied().flatten();
                assert_eq!(view.day.budget.map(|budget| budget.0), bound.or(daily));
                let absorbed = self.model.absorbed.iter().filter(|(own, _)| *own == campaign);
                assert_eq!(view.total.absorbed.0, absorbed.map(|(_, amount)| amount).sum::<i128>());
            }
        }
        for (id, lease) in &self.model.leases {
            let parts = [lease.rest(), lease.late, lease.rest() - lease.late, lease.settled];
            assert!(parts.iter().all(|part| *part >= 0), "{id:?}: {lease:?}");
            if Self::is_honest(*id) && lease.state == State::Open {
                assert!(lease.settled + self.held(*id) <= lease.amount - lease.returned, "{id:?}");
            }
        }
        let (house, model) = (self.ledger.house(), &self.model);
        assert!(!house.is_poisoned);
        assert_eq!(house.absorbed.0, model.absorbed.iter().map(|(_, a)| a).sum::<i128>());
        assert_eq!(house.absorbed_notices, model.absorbed.len() as u64);
        let counts =
            [house.duplicates, house.contradictions, house.forgotten_leases, house.refused];
        let expected = [model.duplicates, model.contradictions, model.forgotten, model.refused];
        assert_eq!(counts, expected);
    }
}

#[test]
fn every_step_is_what_the_model_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number("OUTBID_SEED"), number("OUTBID_FULL")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => 0..60_000,
        (None, None) => 0..60,
    };
    let is_one = seeds.end - seeds.start == 1;
    let (mut seen, mut steps) = (Seen::new(), 0);
    for seed in seeds {
        let mut world = World::new(seed);
        CAMPAIGNS.iter().for_each(|_| world.budget());
        (0..STEPS).for_each(|_| world.step());
        steps += STEPS;
        for (what, times) in std::mem::take(&mut world.seen) {
            *seen.entry(what).or_default() += times;
        }
    }
    println!("{steps} steps: {seen:?}");
    for what in [
        "a cut below what is committed",
        "an honest bill",
        "a bill paid by free money",
        "a bill paid by the house",
        "a bill of a lost holder",
        "a crash that took nothing",
        "a crash that took records",
        "a refund",
        "a charge by hand",
        "a key with another adjustment",
        "Unbilled",
        "CampaignSet",
        "Stepped",
        "Settled",
        "Forgotten",
        "Duplicate",
        "Contradiction",
        "Lost",
        "Expired",
        "UnknownCampaign",
        "NotOpen",
        "Mismatch",
        "Gap",
        "Stale",
        "OutOfRange",
    ] {
        assert!(is_one || seen.contains_key(what), "{what} never happened");
    }
}
