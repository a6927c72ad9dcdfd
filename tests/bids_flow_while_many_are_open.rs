//! Promise: hard holds without stop-and-go. Thousands of bids are open, losers tell late or never,
//! and as long as an account has money, bids get it.
//!
//! Four cores, a log that takes its time over each step, and a clock that goes by milliseconds:
//! deterministic, without an actor. What is counted are bids that a core had to refuse although the
//! account could have granted them.

use outbid::budget::{
    Answer, Budget, Command, DayNumber, Held, LeaseBook, LeaseEvent, LeaseOp, LeaseRequest,
    LeaseTerms, Ledger, NoHold, Notice, Outcome, Purpose, Windows, apply,
};
use outbid::units::{AdvertiserId, CampaignId, Micros, Nanos, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

const CAMPAIGN: CampaignId = CampaignId(7);
const CORES: u64 = 4;
const DAY: DayNumber = DayNumber(0);
const CAP: u64 = 5_000;
const WINDOWS: Windows = Windows { decision_ttl_ms: 20_000, billing_window_ms: 60_000 };
/// From a core's question to the answer in its hands: the log gathers, writes, and the fold follows.
const LOG_MS: i64 = 12;

struct World {
    now: i64,
    ledger: Ledger,
    books: Vec<LeaseBook>,
    /// What happens at which millisecond, in the order in which it was arranged.
    coming: BTreeMap<(i64, u64), Coming>,
    arranged: u64,
    random: u64,
    wanting: BTreeSet<u16>,
    bids: u64,
    refused_with_money: u64,
    open: u64,
    open_most: u64,
    billed: i128,
}

enum Coming {
    Asked(LeaseRequest),
    Loss(Held),
    Bill(Held),
}

impl World {
    fn new(daily: Nanos) -> Self {
        let mut ledger = Ledger::default();
        let command = Command::SetCampaign {
            campaign: CAMPAIGN,
            advertiser: AdvertiserId(1),
            budget: Budget::daily(daily),
            from: DAY,
            edition: 1,
        };
        apply(&mut ledger, Timestamp(0), &command);
        let terms = LeaseTerms {
            campaign: CAMPAIGN,
            day: DAY,
            day_ends: Timestamp(86_400_000),
            max_price: Micros(CAP),
            headroom: Nanos(daily.0 / 86_400),
            exploration_ppm: 0,
            is_active: true,
            shares_bound: false,
        };
        let book = |core: u64| {
            let mut book = LeaseBook::new(0, core as u16, 1);
            book.handle(&LeaseEvent::Terms([terms].into()), Timestamp(0));
            book
        };
        Self {
            now: 0,
            ledger,
            books: (0..CORES).map(book).collect(),
            coming: BTreeMap::new(),
            arranged: 0,
            random: 1,
            wanting: BTreeSet::new(),
            bids: 0,
            refused_with_money: 0,
            open: 0,
            open_most: 0,
            billed: 0,
        }
    }

    /// A xorshift: the same in every run.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn arrange(&mut self, after_ms: i64, what: Coming) {
        self.arranged += 1;
        self.coming.insert((self.now + after_ms, self.arranged), what);
    }

    fn free(&self) -> Nanos {
        let day = self.ledger.view(CAMPAIGN, DAY).expect("known").day;
        day.budget.unwrap_or_default() - day.billed - day.late - day.leased
    }

    /// One millisecond with so many bids.
    fn pass(&mut self, bids: u64) {
        self.now += 1;
        while let Some(first) = self.coming.first_entry().filter(|one| one.key().0 <= self.now) {
            let what = first.remove();
            self.happen(what);
        }
        for _ in 0..bids {
            self.bid();
        }
        let mut asked = Vec::new();
        for book in &mut self.books {
            book.due(Timestamp(self.now), &mut asked);
        }
        for request in asked {
            self.arrange(LOG_MS, Coming::Asked(request));
        }
    }

    /// A tenth wins and is billed within a minute; of the losers two thirds are told, slowly.
    fn bid(&mut self) {
        let (core, price) = (self.below(CORES) as usize, 1 + self.below(CAP));
        self.bids += 1;
        let held = self.books[core].hold(
            CAMPAIGN,
            Purpose::Serve,
            Micros(price),
            WINDOWS,
            Timestamp(self.now),
        );
        let held = match held {
            Ok(held) => held,
            Err(NoHold::OnlyLeft(_) | NoHold::NoLease | NoHold::Exhausted) => {
                let could = self.free() >= Micros(price).per_impression();
                self.refused_with_money += u64::from(could);
                return;
            }
        };
        self.open += 1;
        self.open_most = self.open_most.max(self.open);
        let (fate, delay) = (self.below(30), self.below(30_000) as i64);
        match fate {
            0..3 => self.arrange(1_000 + delay, Coming::Bill(held)),
            3..21 => self.arrange(5_000 + delay / 2, Coming::Loss(held)),
            _ => self.open -= 1,
        }
    }

    fn happen(&mut self, what: Coming) {
        let now = Timestamp(self.now);
        match what {
            Coming::Loss(held) => {
                self.open -= 1;
                self.books[held.hold.lease.core as usize].release(&held);
            }
            Coming::Bill(held) => {
                self.open -= 1;
                self.billed += held.price.per_impression().0;
                let bill = Command::settle(&held, held.price, Notice::Billing);
                let Outcome::Settled { from_lease, absorbed, .. } =
                    apply(&mut self.ledger, now, &bill)
                else {
                    panic!("a first bill")
                };
                assert_eq!(absorbed, Nanos::ZERO, "the exchange kept its window");
                let event = LeaseEvent::Settled { held, from_lease };
                self.books[held.hold.lease.core as usize].handle(&event, now);
            }
            Coming::Asked(LeaseRequest { lease, step, op, .. }) => {
                let command = Command::Lease { lease, step, op };
                let Outcome::Stepped(answer) = apply(&mut self.ledger, now, &command) else {
                    panic!("{command:?}")
                };
                let event = LeaseEvent::Answered { lease, step, answer };
                self.books[lease.core as usize].handle(&event, now);
                self.tell_others(lease.core, op, answer);
            }
        }
    }

    /// What the ledger's actor tells.
    fn tell_others(&mut self, core: u16, op: LeaseOp, answer: Answer) {
        let now = Timestamp(self.now);
        match answer {
            Answer::Granted { is_short: true, .. } => {
                self.wanting.insert(core);
                for (other, book) in self.books.iter_mut().enumerate() {
                    if other != usize::from(core) && matches!(op, LeaseOp::TopUp { .. }) {
                        book.handle(&LeaseEvent::Recall(CAMPAIGN, Purpose::Serve), now);
                    }
                }
            }
            Answer::Granted { is_short: false, .. } => _ = self.wanting.remove(&core),
            Answer::Returned { amount, .. } if amount > Nanos::ZERO => {
                for wanting in std::mem::take(&mut self.wanting) {
                    if wanting == core {
                        self.wanting.insert(core);
                    } else {
                        let available = LeaseEvent::Available { campaign: CAMPAIGN, is_new: false };
                        self.books[usize::from(wanting)].handle(&available, now);
                    }
                }
            }
            _ => {}
        }
    }

    fn check(&self) {
        self.ledger.audit().expect("every account within its bound");
        assert!(self.books.iter().all(LeaseBook::is_sound));
    }
}

/// Runs phases of (seconds, bids a millisecond) and says how many of a million bids were refused
/// although there was money.
fn refused_ppm(world: &mut World, phases: &[(i64, u64)]) -> u64 {
    let (bids, refused) = (world.bids, world.refused_with_money);
    for (seconds, rate) in phases {
        for _ in 0..seconds * 1_000 {
            world.pass(*rate);
        }
        world.check();
    }
    (world.refused_with_money - refused) * 1_000_000 / (world.bids - bids).max(1)
}

#[test]
fn no_bid_is_refused_while_the_account_has_money() {
    // A hundred times what a second of planned spend is goes through the holds of each second.
    let mut world = World::new(Nanos(86_400 * 100_000));
    let first = refused_ppm(&mut world, &[(1, 4)]);
    let steady = refused_ppm(&mut world, &[(40, 4)]);
    let rising = refused_ppm(&mut world, &[(2, 1), (5, 12), (2, 1), (5, 12)]);
    println!(
        "refused of a million: {first} at the start, {steady} steady, {rising} in bursts; {} open",
        world.open_most
    );
    assert!(world.open_most > 10_000, "{}", world.open_most);
    assert!(steady == 0 && rising < 1_000 && first < 20_000, "{first} {steady} {rising}");
}
