//! The promise: no advertiser is ever billed past a budget, whatever is lost, copied, reordered,
//! late or dead.
//!
//! Three cores bid on one campaign of a few bids' budget. Notices wait in a queue that loses,
//! copies, reorders and delays them; a bill may come after a loss, above the held price, or after
//! its window; cores crash and come back with an empty book. After every single step both
//! inequalities are checked, and in the end the money must be usable again.

use outbid::budget::{
    Answer, Budget, Command, DayNumber, Held, LeaseBook, LeaseEvent, LeaseOp, LeaseRequest,
    LeaseTerms, Ledger, NoHold, Notice, Outcome, Purpose, Windows, apply,
};
use outbid::units::{AdvertiserId, CampaignId, Micros, Nanos, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const CORES: usize = 3;
const CAMPAIGN: CampaignId = CampaignId(7);
const ADVERTISER: AdvertiserId = AdvertiserId(1);
const CAP: u64 = 1_000;
const DAY: DayNumber = DayNumber(0);
const DAY_ENDS: Timestamp = Timestamp(86_400_000);
/// A notice so late is counted as delayed: past the time after which no news is bad news.
const DELAY_MS: i64 = 30_000;
const WINDOWS: Windows = Windows { decision_ttl_ms: 20_000, billing_window_ms: 60_000 };

/// What one step of the world is.
#[derive(Clone, Debug)]
enum Step {
    /// A core bids this price.
    Bid { core: usize, price: u64 },
    /// The exchange decides a bid: it loses, or is billed at this share (in per mille) of its
    /// price; the notice is copied so often, the first copy possibly lost.
    Decide { bid: usize, fate: Fate },
    /// A waiting notice arrives.
    Deliver { notice: usize },
    /// The log takes the oldest command, and what it answers is heard.
    Fold,
    /// An answer on its way is heard by its core.
    Hear { core: usize },
    /// A core looks after its leases.
    Due { core: usize },
    /// Time passes.
    Wait { ms: i64 },
    /// A core dies and comes back with an empty book.
    Crash { core: usize },
    /// The daily budget changes, in bids at cap.
    Budget { bids: u64 },
    /// A core is asked to return what it does not use.
    Recall { core: usize },
    /// Nothing new happens until all that is on its way has arrived.
    Rest,
}

#[derive(Clone, Debug)]
enum Fate {
    Lost { copies: usize },
    Billed { per_mille: u64, copies: usize },
    LostThenBilled,
    Silence,
}

enum Told {
    Loss(Held),
    Bill(Held, Micros),
}

/// A notice on its way, and since when.
struct Waiting {
    told: Told,
    since: Timestamp,
}

/// What must be seen over a run of many cases, or the test proves less than it says.
#[derive(Default, Debug)]
struct Seen {
    renewals: u64,
    recalls_obeyed: u64,
    idle_returns: u64,
    moved_last_slice: u64,
    only_left: u64,
    duplicates: u64,
    absorbed: u64,
    late: u64,
    uncovered: u64,
    cuts: u64,
    lost_notices: u64,
    reordered: u64,
    delayed: u64,
    crashes_with_money: u64,
    rests_with_money: u64,
}

struct World {
    now: Timestamp,
    ledger: Ledger,
    edition: u64,
    books: Vec<LeaseBook>,
    boots: Vec<u32>,
    log: VecDeque<Command>,
    heard: Vec<VecDeque<LeaseEvent>>,
    bids: Vec<(usize, Held)>,
    notices: Vec<Waiting>,
    billed: BTreeSet<(u32, u32, u16, u32)>,
    owed: i128,
    prices: BTreeMap<(u32, u32, u16, u32), Micros>,
    wanting: BTreeSet<usize>,
    dry_after_grant: Option<usize>,
    seen: Seen,
}

fn terms() -> LeaseEvent {
    LeaseEvent::Terms(
        [LeaseTerms {
            campaign: CAMPAIGN,
            day: DAY,
            day_ends: DAY_ENDS,
            max_price: Micros(CAP),
            headroom: Nanos(2 * i128::from(CAP)),
            exploration_ppm: 0,
            is_active: true,
            shares_bound: false,
        }]
        .into(),
    )
}

fn key(held: &Held) -> (u32, u32, u16, u32) {
    let lease = held.hold.lease;
    (lease.boot, lease.number, lease.core, held.hold.sequence)
}

impl World {
    fn new(bids: u64) -> Self {
        let mut world = Self {
            now: Timestamp(1_000_000),
            ledger: Ledger::default(),
            edition: 0,
            books: Vec::new(),
            boots: vec![1; CORES],
            log: VecDeque::new(),
            heard: (0..CORES).map(|_| VecDeque::new()).collect(),
            bids: Vec::new(),
            notices: Vec::new(),
            billed: BTreeSet::new(),
            owed: 0,
            prices: BTreeMap::new(),
            wanting: BTreeSet::new(),
            dry_after_grant: None,
            seen: Seen::default(),
        };
        world.set_budget(bids);
        for core in 0..CORES {
            let mut book = LeaseBook::new(0, core as u16, 1);
            book.handle(&terms(), world.now);
            world.books.push(book);
        }
        world
    }

    fn set_budget(&mut self, bids: u64) {
        self.edition += 1;
        let daily = Nanos(i128::from(bids * CAP));
        self.log.push_back(Command::SetCampaign {
            campaign: CAMPAIGN,
            advertiser: ADVERTISER,
            budget: Budget {
                advertiser_bound: Some(Nanos(40 * i128::from(CAP))),
                lifetime: Some(Nanos(30 * i128::from(CAP))),
                ..Budget::daily(daily)
            },
            from: DAY,
            edition: self.edition,
        });
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Bid { core, price } => {
                self.bid(core, price);
            }
            Step::Decide { bid, ref fate } => self.decide(bid, fate),
            Step::Deliver { notice } => {
                if !self.notices.is_empty() {
                    let place = notice % self.notices.len();
                    let Waiting { told, since } = self.notices.swap_remove(place);
                    self.seen.reordered +=
                        u64::from(self.notices.iter().any(|other| other.since < since));
                    self.seen.delayed += u64::from(self.now.millis_since(since) >= DELAY_MS);
                    self.deliver(told);
                }
            }
            Step::Fold => self.fold(),
            Step::Hear { core } => {
                if let Some(event) = self.heard[core].pop_front() {
                    self.books[core].handle(&event, self.now);
                }
            }
            Step::Due { core } => self.due(core),
            Step::Wait { ms } => {
                self.now = Timestamp((self.now.0 + ms).min(DAY_ENDS.0 - 1));
            }
            Step::Crash { core } => {
                let held = self.books[core].totals().held;
                self.seen.crashes_with_money += u64::from(held > Nanos::ZERO);
                self.boots[core] += 1;
                self.log.push_back(Command::HolderLost {
                    node: 0,
                    core: Some(core as u16),
                    boot_upto: self.boots[core] - 1,
                    window_ms: 80_000,
                });
                self.books[core] = LeaseBook::new(0, core as u16, self.boots[core]);
                self.books[core].handle(&terms(), self.now);
                self.heard[core].clear();
            }
            Step::Budget { bids } => self.set_budget(bids),
            Step::Recall { core } => {
                self.heard[core].push_back(LeaseEvent::Recall(CAMPAIGN, Purpose::Serve));
            }
            Step::Rest => self.settle_down(),
        }
        self.check();
    }

    fn bid(&mut self, core: usize, price: u64) -> bool {
        let held =
            match self.books[core].hold(CAMPAIGN, Purpose::Serve, Micros(price), WINDOWS, self.now)
            {
                Err(NoHold::OnlyLeft(left)) => {
                    assert!(left.0 > 0 && left.0 < price);
                    self.seen.only_left += 1;
                    self.books[core].hold(CAMPAIGN, Purpose::Serve, left, WINDOWS, self.now)
                }
                other => other,
            };
        let Ok(held) = held else { return false };
        if self.dry_after_grant.take_if(|dry| *dry != core).is_some() {
            self.seen.moved_last_slice += 1;
        }
        self.bids.push((core, held));
        true
    }

    fn decide(&mut self, bid: usize, fate: &Fate) {
        if self.bids.is_empty() {
            return;
        }
        let (_, held) = self.bids.swap_remove(bid % self.bids.len());
        match *fate {
            Fate::Silence => {}
            Fate::Lost { copies } => self.post(copies, || Told::Loss(held)),
            Fate::Billed { per_mille, copies } => {
                let price = Micros(held.price.0 * per_mille / 1_000);
                self.post(copies, || Told::Bill(held, price));
            }
            Fate::LostThenBilled => {
                self.deliver(Told::Loss(held));
                self.post(1, || Told::Bill(held, held.price));
            }
        }
    }

    /// Puts copies of a notice into the queue; none of it is what the queue loses.
    fn post(&mut self, copies: usize, told: impl Fn() -> Told) {
        self.seen.lost_notices += u64::from(copies == 0);
        let since = self.now;
        self.notices.extend((0..copies).map(|_| Waiting { told: told(), since }));
    }

    fn deliver(&mut self, told: Told) {
        match told {
            Told::Loss(held) => {
                let lease = held.hold.lease;
                let book = &mut self.books[lease.core as usize];
                let before = book.totals().held;
                let was_held = book.release(&held);
                let after = book.totals().held;
                let freed = if was_held { held.price.per_impression() } else { Nanos::ZERO };
                assert_eq!(before - after, freed, "a loss frees its hold once");
                assert!(!book.release(&held), "a copy frees nothing");
            }
            Told::Bill(held, price) => {
                if self.billed.insert(key(&held)) {
                    self.owed += price.per_impression().0;
                    self.prices.insert(key(&held), price);
                }
                self.log.push_back(Command::settle(&held, price, Notice::Billing));
            }
        }
    }

    fn due(&mut self, core: usize) {
        let mut requests: Vec<LeaseRequest> = Vec::new();
        self.books[core].due(self.now, &mut requests);
        for LeaseRequest { lease, step, op, .. } in requests {
            self.log.push_back(Command::Lease { lease, step, op });
        }
    }

    /// What the actor does, without an actor.
    fn fold(&mut self) {
        let Some(command) = self.log.pop_front() else { return };
        let outcome = apply(&mut self.ledger, self.now, &command);
        match (&command, outcome) {
            (Command::SetCampaign { .. }, Outcome::CampaignSet { is_over }) => {
                if is_over {
                    self.seen.cuts += 1;
                    for heard in &mut self.heard {
                        heard.push_back(LeaseEvent::Cut(CAMPAIGN));
                    }
                }
                self.tell_wanting(None);
            }
            (&Command::Lease { lease, step, op }, outcome) => {
                let core = lease.core as usize;
                let answer = match outcome {
                    Outcome::Stepped(answer) => answer,
                    Outcome::Refused(refusal) => {
                        assert!(lease.boot < self.boots[core], "{refusal}: {command:?}");
                        Answer::Refused(refusal)
                    }
                    other => panic!("{other:?} for {command:?}"),
                };
                if lease.boot == self.boots[core] {
                    self.heard[core].push_back(LeaseEvent::Answered { lease, step, answer });
                }
                self.note(core, op, answer);
            }
            (Command::Settle { .. }, Outcome::Duplicate | Outcome::Contradiction) => {
                self.seen.duplicates += 1
            }
            (
                &Command::Settle { hold, campaign, day, held: price, due, .. },
                Outcome::Settled { from_lease, absorbed, .. },
            ) => {
                assert!(from_lease <= price.per_impression(), "a lease pays what it held at most");
                self.seen.absorbed += u64::from(absorbed > Nanos::ZERO);
                let core = hold.lease.core as usize;
                let held = Held { hold, campaign, day, due, price };
                if hold.lease.boot == self.boots[core] {
                    self.heard[core].push_back(LeaseEvent::Settled { held, from_lease });
                }
            }
            (Command::Settle { .. }, Outcome::Forgotten { absorbed }) => {
                self.seen.absorbed += u64::from(absorbed > Nanos::ZERO);
            }
            (Command::HolderLost { .. }, Outcome::Lost(_)) => {}
            (Command::Expire, Outcome::Expired(_)) => self.tell_wanting(None),
            other => panic!("{other:?}"),
        }
    }

    fn note(&mut self, core: usize, op: LeaseOp, answer: Answer) {
        match (op, answer) {
            (
                LeaseOp::TopUp { .. } | LeaseOp::Open { .. },
                Answer::Granted { amount, is_short },
            ) => {
                self.seen.renewals += u64::from(amount > Nanos::ZERO);
                if is_short {
                    self.wanting.insert(core);
                    if amount > Nanos::ZERO {
                        self.dry_after_grant = Some(core);
                    }
                    for other in (0..CORES).filter(|other| *other != core) {
                        self.heard[other].push_back(LeaseEvent::Recall(CAMPAIGN, Purpose::Serve));
                    }
                } else {
                    self.wanting.remove(&core);
                }
            }
            (LeaseOp::Return { .. }, Answer::Returned { amount, .. }) if amount > Nanos::ZERO => {
                if self.wanting.is_empty() {
                    self.seen.idle_returns += 1;
                } else {
                    self.seen.recalls_obeyed += 1;
                }
                self.tell_wanting(Some(core));
            }
            (LeaseOp::Late { .. }, _) => self.seen.late += 1,
            (LeaseOp::Uncovered { .. }, _) => self.seen.uncovered += 1,
            _ => {}
        }
    }

    fn tell_wanting(&mut self, but: Option<usize>) {
        for core in std::mem::take(&mut self.wanting) {
            if Some(core) == but {
                self.wanting.insert(core);
            } else {
                self.heard[core]
                    .push_back(LeaseEvent::Available { campaign: CAMPAIGN, is_new: false });
            }
        }
    }

    /// Both inequalities, from outside.
    fn check(&self) {
        self.ledger.audit().expect("every account within its bound, and as its leases say");
        assert!(!self.ledger.house().is_poisoned);
        for book in &self.books {
            assert!(book.is_sound(), "settled + held + late <= amount");
        }
    }

    /// With nothing on its way, no money is leased that no core knows of.
    fn check_leased(&mut self) {
        let Some(view) = self.ledger.view(CAMPAIGN, DAY) else { return };
        let open: Nanos = self.books.iter().map(|book| book.totals().held).sum();
        let at_hand: Nanos = self.books.iter().map(|book| book.headroom(CAMPAIGN)).sum();
        assert!(
            view.day.leased <= open + at_hand,
            "{} leased, {open} in open holds, {at_hand} at hand",
            view.day.leased
        );
        self.seen.rests_with_money += u64::from(open > Nanos::ZERO);
    }

    /// Everything that is on its way arrives, and all are asked what they want.
    fn settle_down(&mut self) {
        for _ in 0..200 {
            for core in 0..CORES {
                while !self.heard[core].is_empty() {
                    self.step(&Step::Hear { core });
                }
                self.step(&Step::Due { core });
            }
            if self.log.is_empty() && self.heard.iter().all(VecDeque::is_empty) {
                self.check_leased();
                return;
            }
            while !self.log.is_empty() {
                self.step(&Step::Fold);
            }
        }
        panic!("the cores and the ledger never come to rest");
    }

    fn finish(&mut self) {
        while let Some(waiting) = self.notices.pop() {
            self.deliver(waiting.told);
        }
        self.bids.clear();
        self.settle_down();
        // Every window passes, and the day's budget is raised by three bids, so that there is
        // something that can be spent again whatever was billed.
        for _ in 0..20 {
            self.now = Timestamp(self.now.0 + 10_000);
            self.log.push_back(Command::Expire);
            self.settle_down();
        }
        let view = self.ledger.view(CAMPAIGN, DAY).expect("known");
        let held: Nanos = self.books.iter().map(|book| book.totals().held).sum();
        assert_eq!((view.day.late, held), (Nanos::ZERO, Nanos::ZERO), "windows free everything");
        let at_hand: Nanos = self.books.iter().map(|book| book.headroom(CAMPAIGN)).sum();
        assert_eq!(view.day.leased, at_hand, "leased is open holds and headroom, nothing else");
        let house = self.ledger.house();
        assert_eq!(view.day.billed.0 + house.absorbed.0, self.owed, "due to the exchange, once");
        for book in &self.books {
            assert!(book.headroom(CAMPAIGN).0 <= 2 * book.headroom_target(CAMPAIGN).0);
        }
        self.spend_what_is_left();
    }

    /// Liveness: what was not billed can be bid again, from one core, to the last nano.
    fn spend_what_is_left(&mut self) {
        let left = self.ledger.unbilled(CAMPAIGN, DAY).expect("known");
        let mut bought = 0;
        for round in 0..200 {
            // The other cores are idle by now; core 0 wants everything.
            if self.bid(0, CAP) {
                let (_, held) = self.bids.pop().expect("just bid");
                bought += held.price.per_impression().0;
                self.deliver(Told::Bill(held, held.price));
            } else if round % 2 == 1 {
                self.now = Timestamp(self.now.0 + 1_500);
            }
            self.settle_down();
            if bought == left.0 {
                break;
            }
        }
        assert_eq!(bought, left.0, "all that was free can be spent again");
        assert_eq!(self.ledger.unbilled(CAMPAIGN, DAY), Some(Nanos::ZERO));
    }
}

fn step() -> impl Strategy<Value = Step> {
    let core = 0..CORES;
    let fate = prop_oneof![
        3 => (0usize..3).prop_map(|copies| Fate::Lost { copies }),
        4 => (0u64..=1_000, 0usize..4)
            .prop_map(|(per_mille, copies)| Fate::Billed { per_mille, copies }),
        1 => (1_001u64..2_000, 1usize..3)
            .prop_map(|(per_mille, copies)| Fate::Billed { per_mille, copies }),
        1 => Just(Fate::LostThenBilled),
        1 => Just(Fate::Silence),
    ];
    prop_oneof![
        8 => (core.clone(), 1..=CAP).prop_map(|(core, price)| Step::Bid { core, price }),
        5 => (any::<usize>(), fate).prop_map(|(bid, fate)| Step::Decide { bid, fate }),
        5 => any::<usize>().prop_map(|notice| Step::Deliver { notice }),
        8 => Just(Step::Fold),
        8 => core.clone().prop_map(|core| Step::Hear { core }),
        8 => core.clone().prop_map(|core| Step::Due { core }),
        4 => prop_oneof![0i64..2_000, 0i64..40_000].prop_map(|ms| Step::Wait { ms }),
        1 => core.clone().prop_map(|core| Step::Crash { core }),
        1 => (3u64..=20).prop_map(|bids| Step::Budget { bids }),
        1 => core.prop_map(|core| Step::Recall { core }),
        1 => Just(Step::Rest),
    ]
}

#[test]
fn no_fault_bills_past_a_budget() {
    let seen = std::cell::RefCell::new(Seen::default());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let plan = (3u64..=20, prop::collection::vec(step(), 40..250));
    runner
        .run(&plan, |(bids, steps)| {
            let mut world = World::new(bids);
            world.settle_down();
            steps.iter().for_each(|step| world.step(step));
            world.finish();
            let mut total = seen.borrow_mut();
            total.renewals += world.seen.renewals;
            total.recalls_obeyed += world.seen.recalls_obeyed;
            total.idle_returns += world.seen.idle_returns;
            total.moved_last_slice += world.seen.moved_last_slice;
            total.only_left += world.seen.only_left;
            total.duplicates += world.seen.duplicates;
            total.absorbed += world.seen.absorbed;
            total.late += world.seen.late;
            total.uncovered += world.seen.uncovered;
            total.cuts += world.seen.cuts;
            total.lost_notices += world.seen.lost_notices;
            total.reordered += world.seen.reordered;
            total.delayed += world.seen.delayed;
            total.crashes_with_money += world.seen.crashes_with_money;
            total.rests_with_money += world.seen.rests_with_money;
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    println!("{seen:?}");
    for (what, times) in [
        ("a renewal", seen.renewals),
        ("an obeyed recall", seen.recalls_obeyed),
        ("a return of idle money", seen.idle_returns),
        ("a bid on one core after another took the last slice", seen.moved_last_slice),
        ("a bid of what was left", seen.only_left),
        ("a duplicate", seen.duplicates),
        ("an absorbed amount", seen.absorbed),
        ("a late sum", seen.late),
        ("a bill on money used again", seen.uncovered),
        ("a cut below what was committed", seen.cuts),
        ("a lost notice", seen.lost_notices),
        ("a notice before an older one", seen.reordered),
        ("a notice half a minute late", seen.delayed),
        ("a crash with money in open holds", seen.crashes_with_money),
        ("a rest with money in open holds", seen.rests_with_money),
    ] {
        assert!(times > 0, "{what} never happened");
    }
}

/// An exchange that keeps its word costs the house nothing.
#[test]
fn an_exchange_that_keeps_its_window_leaves_nothing_to_absorb() {
    let mut world = World::new(10);
    world.settle_down();
    for round in 0..400 {
        world.step(&Step::Bid { core: round % CORES, price: 1 + (round as u64 * 37) % CAP });
        let fate = match round % 4 {
            0 => Fate::Billed { per_mille: 1_000, copies: 2 },
            1 => Fate::Billed { per_mille: 400, copies: 1 },
            2 => Fate::Lost { copies: 2 },
            _ => Fate::Silence,
        };
        if round % 3 == 0 {
            world.step(&Step::Decide { bid: round, fate });
            world.step(&Step::Deliver { notice: round });
        }
        world.settle_down();
        world.step(&Step::Wait { ms: 500 });
        if round % 50 == 49 {
            world.step(&Step::Crash { core: round % CORES });
            world.log.push_back(Command::Expire);
        }
    }
    // Bids never decided in time are never billed.
    world.bids.clear();
    world.notices.clear();
    world.settle_down();
    assert_eq!(world.ledger.house().absorbed, Nanos::ZERO);
}
