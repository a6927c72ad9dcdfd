//! The actor on a log that is fast, slow and faulty.

use super::state::BudgetState;
use super::*;
use crate::clock::Civil;
use crate::store::{Faults, MemoryLog, OrderedLog, Pauses};
use crate::strategy::pacing::{LocalPacing, PacingKind, PlanKind};
use crate::units::{AdvertiserId, CampaignId, Micros, Nanos, Slot, Timestamp};
use actix::{Actor, Addr, Context, Handler};
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

pub(super) const CAMPAIGN: CampaignId = CampaignId(5);
const SLOT: Slot = Slot { index: 2, generation: 7 };
const START: Timestamp = Timestamp(1_000_000);
const CAP: u64 = 1_000;
const WINDOWS: Windows = Windows { decision_ttl_ms: 10_000, billing_window_ms: 60_000 };
const FAULTS: Faults =
    Faults { seed: 3, refuse_ppm: 200_000, unknown_ppm: 200_000, duplicate_ppm: 200_000 };

/// A core without an auction: it hosts a book.
struct Core {
    book: Arc<Mutex<LeaseBook>>,
    inbox: LeaseInbox,
    settled: Settled,
    clock: Civil,
}

/// How many holds were settled by each word that settled some.
type Settled = Arc<Mutex<Vec<usize>>>;

impl Actor for Core {
    type Context = Context<Self>;
}

impl Handler<LeaseNews> for Core {
    type Result = ();
    fn handle(&mut self, _: LeaseNews, _: &mut Self::Context) {
        let mut settled = 0;
        while let Some(event) = self.inbox.take() {
            settled += usize::from(matches!(event, LeaseEvent::Settled { .. }));
            self.book.lock().handle(&event, self.clock.now());
        }
        if settled > 0 {
            self.settled.lock().push(settled);
        }
    }
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Die;

impl Handler<Die> for Core {
    type Result = ();
    fn handle(&mut self, _: Die, _: &mut Self::Context) {
        panic!("on purpose");
    }
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Flush;

impl Handler<Flush> for Core {
    type Result = ();
    fn handle(&mut self, _: Flush, _: &mut Self::Context) {}
}

struct House {
    clock: Civil,
    budget: Addr<BudgetActor>,
    shared: Arc<Shared>,
    cores: Vec<(Addr<Core>, Arc<Mutex<LeaseBook>>)>,
    inboxes: Vec<LeaseInbox>,
    settled: Settled,
}

pub(super) fn terms(bids: u64) -> CampaignTerms {
    CampaignTerms {
        id: CAMPAIGN,
        advertiser: AdvertiserId(1),
        slot: SLOT,
        budget: Budget::daily(Nanos(i128::from(bids * CAP))),
        time_zone: TimeZone::UTC,
        pacing: PacingKind::Dual,
        plan: PlanKind::default(),
        hours: None,
        multiplier_max_ppm: 1_000_000,
        target: None,
        counts_releases: false,
        max_price: Micros(CAP),
        arms: Vec::new(),
    }
}

impl House {
    async fn open(delay_ms: u64, faults: Faults, bids: u64) -> Self {
        let clock = Civil::simulated(START);
        let pauses = Pauses { delay: Duration::from_millis(delay_ms), ..Pauses::default() };
        let log = MemoryLog::with_faults(clock.clone(), pauses, faults).expect("a thread");
        let log: Arc<dyn OrderedLog> = Arc::new(log);
        let shared = Shared::new(LedgerWriter::new(log, 1), clock.clone(), 0, 1, 60_000);
        let budget = BudgetActor::new(Arc::clone(&shared)).start();
        let (cores, inboxes) = (Vec::new(), Vec::new());
        let settled = Settled::default();
        let mut house = Self { clock, budget, shared, cores, inboxes, settled };
        for core in 0..2 {
            house.add_core(core, 1).await;
        }
        house.budget.send(SetCampaigns([terms(bids)].into())).await.expect("alive");
        house.settle_down().await;
        house
    }

    async fn add_core(&mut self, core: u16, boot: u32) {
        let book = Arc::new(Mutex::new(LeaseBook::new(0, core, boot)));
        self.inboxes.truncate(usize::from(core));
        self.inboxes.push(LeaseInbox::default());
        let address = self.host(core, boot, &book).await;
        self.cores.truncate(usize::from(core));
        self.cores.push((address, book));
    }

    /// An actor over a book, made known to the ledger.
    async fn host(&self, core: u16, boot: u32, book: &Arc<Mutex<LeaseBook>>) -> Addr<Core> {
        let inbox = self.inboxes[usize::from(core)].clone();
        let (settled, clock) = (Arc::clone(&self.settled), self.clock.clone());
        let actor = Core { book: Arc::clone(book), inbox: inbox.clone(), settled, clock };
        let address = actor.start();
        let holder = address.clone().recipient();
        self.budget.send(Register { core, boot, inbox, holder }).await.expect("alive");
        address
    }

    /// A book's money, and how much of it the ledger has leased to it.
    fn totals(&self, core: usize) -> LeaseTotals {
        self.cores[core].1.lock().totals()
    }

    /// What the core wants is asked for, but not yet answered.
    async fn ask(&self, core: usize) {
        let mut requests = Vec::new();
        self.cores[core].1.lock().due(self.clock.now(), &mut requests);
        assert!(!requests.is_empty());
        self.budget.send(Requests(requests.into())).await.expect("alive");
    }

    /// Until no core has anything to ask.
    async fn settle_down(&self) {
        loop {
            let mut asked = false;
            for (address, book) in &self.cores {
                address.send(Flush).await.expect("alive");
                let mut requests = Vec::new();
                book.lock().due(self.clock.now(), &mut requests);
                asked |= !requests.is_empty();
                self.budget.send(Requests(requests.into())).await.expect("alive");
            }
            self.budget.send(Quiesce).await.expect("alive");
            for (address, _) in &self.cores {
                address.send(Flush).await.expect("alive");
            }
            if !asked && !self.cores.iter().any(|(_, book)| book.lock().has_urgent()) {
                return;
            }
        }
    }

    async fn tick(&self, after_ms: i64) {
        self.clock.advance(self.clock.now().plus_millis(after_ms));
        self.budget.send(Tick { now: self.clock.now() }).await.expect("alive");
        self.settle_down().await;
    }

    fn hold(&self, core: usize) -> Result<Held, NoHold> {
        self.cores[core].1.lock().hold(
            CAMPAIGN,
            Purpose::Serve,
            Micros(CAP),
            WINDOWS,
            self.clock.now(),
        )
    }

    async fn bill(&self, held: &Held) {
        let bill = Command::settle(held, held.price, Notice::Billing);
        self.shared.writer().append(&bill).await.expect("durable");
    }

    async fn status(&self) -> Box<BudgetStatus> {
        self.budget.send(Status).await.expect("alive")
    }
}

async fn spend_all(delay_ms: u64, faults: Faults) {
    let house = House::open(delay_ms, faults, 7).await;
    let mut billed = 0;
    for round in 0..40 {
        if let Ok(held) = house.hold(round % 2) {
            house.bill(&held).await;
            house.bill(&held).await; // a copy
            billed += 1;
        }
        house.tick(1_100).await;
    }
    assert_eq!(billed, 7, "both cores together spend the last bid, and not one more");
    let status = house.status().await;
    let money = status.campaigns[0].account.as_ref().expect("known").day;
    assert_eq!(money.billed, Nanos(7 * i128::from(CAP)));
    assert_eq!((money.leased, money.late), (Nanos::ZERO, Nanos::ZERO));
    assert_eq!(status.house.absorbed, Nanos::ZERO);
    assert_eq!(status.house.refused, 0, "no fault of the log reaches the ledger");
    // The log says the same, folded again.
    let writer = house.shared.writer();
    let mut tail = writer.log().tail(crate::store::Position(1)).expect("all there");
    let mut again = Ledger::default();
    while let Ok(batch) = tail.try_recv() {
        for record in &*batch {
            again.fold(record).expect("folds");
        }
    }
    let digest: String = again.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, status.digest);
    again.audit().expect("sound");
}

#[actix::test]
async fn a_fast_log_spends_the_budget_exactly() {
    spend_all(0, Faults::default()).await;
}

#[actix::test]
async fn a_slow_log_spends_the_budget_exactly() {
    spend_all(50, Faults::default()).await;
}

#[actix::test]
async fn a_faulty_log_spends_the_budget_exactly() {
    spend_all(0, FAULTS).await;
}

#[actix::test]
async fn bills_that_become_durable_together_are_one_word_to_their_core() {
    // The log takes its time over each batch, so that the bills after the first wait together.
    let house = House::open(50, Faults::default(), 1_000).await;
    let mut held = Vec::new();
    while held.len() < 6 {
        match house.hold(0) {
            Ok(one) => held.push(one),
            Err(_) => house.tick(1_100).await,
        }
    }
    house.settle_down().await;
    let writer = house.shared.writer();
    let settle = |held: &Held| Command::settle(held, held.price, Notice::Billing);
    let bills: Vec<_> = held.iter().map(|held| writer.append(&settle(held))).collect();
    for bill in bills {
        bill.await.expect("durable");
    }
    house.settle_down().await;
    let settled = house.settled.lock().clone();
    assert_eq!(settled.iter().sum::<usize>(), 6);
    assert!(settled.len() <= 3, "{settled:?}");
    assert_eq!(house.cores[0].1.lock().tied(CAMPAIGN).0, Nanos::ZERO);
}

#[actix::test]
async fn one_core_bids_with_what_the_other_returned() {
    let house = House::open(0, Faults::default(), 1).await;
    // Core 0 came first and has the only bid of the day; core 1 asks, and core 0 is idle.
    assert!(house.hold(1).is_err());
    house.tick(1_500).await;
    let held = house.hold(1).expect("recalled from core 0");
    assert!(house.hold(0).is_err());
    // Its answer was not sent: it is free again at once.
    assert!(house.cores[1].1.lock().release(&held));
    assert!(house.hold(1).is_ok());
}

#[actix::test]
async fn a_core_that_dies_freezes_its_lease_until_the_window_ends() {
    let mut house = House::open(0, Faults::default(), 1).await;
    house.hold(0).expect("the only bid");
    let core_1 = house.cores.pop().expect("two");
    house.add_core(0, 2).await;
    house.cores.push(core_1);
    house.settle_down().await;
    let late =
        |status: Box<BudgetStatus>| status.campaigns[0].account.as_ref().expect("known").day.late;
    assert_eq!(late(house.status().await), Nanos(i128::from(CAP)));
    house.tick(30_000).await;
    assert!(house.hold(0).is_err() && house.hold(1).is_err());
    house.tick(31_000).await;
    house.tick(1_100).await;
    assert_eq!(late(house.status().await), Nanos::ZERO);
    assert!(house.hold(0).is_ok() || house.hold(1).is_ok());
}

#[actix::test]
async fn each_day_has_its_own_budget_and_the_actor_may_be_restarted() {
    let mut house = House::open(0, Faults::default(), 1).await;
    let held = house.hold(0).expect("the first day's bid");
    house.bill(&held).await;
    house.tick(1_100).await;
    assert!(house.hold(0).is_err());
    // As after a panic: a new actor on the state of the old.
    house.budget = BudgetActor::new(Arc::clone(&house.shared)).start();
    house.clock.advance(Timestamp(86_400_000));
    assert!(house.hold(0).is_err(), "the day is over, and no new terms are here yet");
    house.tick(10).await;
    let held = house.hold(0).expect("the second day's bid");
    assert_eq!(held.day, DayNumber(1));
}

#[actix::test]
async fn a_tick_folds_what_the_cores_changed_and_publishes_it() {
    let house = House::open(0, Faults::default(), 1_000).await;
    let snapshot = house.shared.snapshot();
    let mut local = LocalPacing::new(0);
    for _ in 0..200 {
        local.pace(SLOT, &snapshot.load());
        for _ in 0..50 {
            local.on_auction(SLOT, Some(Micros(CAP)));
        }
        let held = |_| (Nanos(50 * i128::from(CAP)), Nanos::ZERO);
        house.budget.send(Report(local.report(held))).await.expect("alive");
        house.tick(1_000).await;
    }
    let published = snapshot.load().pace(SLOT);
    assert!(published.ln_budget < -0.5, "{published:?}");
    // All of the local change is in the snapshot, and none of it is counted twice.
    assert_eq!(local.pace(SLOT, &snapshot.load()), published);
    let status = house.status().await;
    assert!((status.campaigns[0].pacing.ln_budget as f32 - published.ln_budget).abs() < 1e-6);
    assert!(serde_json::to_string(&*status).expect("JSON").contains("\"budget\":\"1000000\""));
}

#[actix::test]
async fn what_a_dead_core_has_not_taken_its_successor_takes() {
    let mut house = House::open(50, Faults::default(), 100_000_000).await;
    house.tick(1_100).await;
    let held = house.hold(0).expect("leased");
    while house.hold(0).is_ok() {}
    let before = house.totals(0);
    house.ask(0).await;
    assert_eq!(house.totals(0).open_steps, 1);
    // It dies while its grant is on the way, and with it whatever its mailbox holds.
    let (dying, book) = house.cores[0].clone();
    assert!(dying.send(Die).await.is_err());
    while dying.connected() {
        actix::clock::sleep(Duration::from_millis(1)).await;
    }
    house.bill(&held).await;
    house.budget.send(Quiesce).await.expect("alive");
    assert_eq!(house.totals(0), LeaseTotals { open_steps: 1, ..before }, "nobody has heard it");
    assert!(house.hold(0).is_err());

    house.cores[0].0 = house.host(0, 1, &book).await;
    house.settle_down().await;
    assert!(house.hold(0).is_ok(), "the grant has arrived");
    let totals = house.totals(0);
    assert_eq!(totals.open_steps, 0);
    let other = house.totals(1);
    let money = house.status().await.campaigns[0].account.as_ref().expect("known").day;
    assert_eq!(money.billed, Nanos(i128::from(CAP)));
    let leased = totals.held + totals.at_hand + other.held + other.at_hand;
    assert_eq!(leased, money.leased, "and so has the bill");
    assert!(book.lock().is_sound());
}

#[actix::test]
async fn a_step_that_died_with_the_ledgers_actor_is_asked_again_and_taken_once() {
    let mut house = House::open(0, Faults::default(), 100_000_000).await;
    house.tick(1_100).await;
    for is_lost in [true, false] {
        while house.hold(0).is_ok() {}
        if is_lost {
            // As if it lay in the mailbox of an actor that died.
            house.cores[0].1.lock().due(house.clock.now(), &mut Vec::new());
        } else {
            house.ask(0).await;
        }
        let steps = house.totals(0).open_steps;
        assert!(!is_lost || steps == 1);
        house.budget = BudgetActor::new(Arc::clone(&house.shared)).start();
        house.settle_down().await;
        assert_eq!(house.totals(0).open_steps, 0);
        assert!(house.hold(0).is_ok(), "the grant has arrived");
    }
    let status = house.status().await;
    let money = status.campaigns[0].account.as_ref().expect("known").day;
    let leased: Nanos = (0..2).map(|core| house.totals(core)).map(|t| t.held + t.at_hand).sum();
    assert_eq!(leased, money.leased, "no step was taken twice");
    assert_eq!(status.house.refused, 0);
}

#[actix::test]
async fn a_wind_up_ends_all_bids_and_leaves_only_what_they_hold() {
    let house = House::open(20, Faults::default(), 100_000_000).await;
    house.hold(0).expect("leased");
    house.hold(1).expect("leased");
    house.budget.send(WindUp).await.expect("alive");
    house.settle_down().await;
    assert_eq!((house.hold(0), house.hold(1)), (Err(NoHold::NoLease), Err(NoHold::NoLease)));
    // Neither a tick nor a new edition of the campaigns brings the bidding back.
    house.tick(1_100).await;
    house.budget.send(SetCampaigns([terms(50)].into())).await.expect("alive");
    house.settle_down().await;
    assert!(house.hold(0).is_err());
    let totals = house.totals(0);
    assert_eq!((totals.at_hand, totals.open_steps), (Nanos::ZERO, 0));
    let money = house.status().await.campaigns[0].account.as_ref().expect("known").day;
    assert_eq!(money.leased, Nanos(2 * i128::from(CAP)), "one bid's hold on each core");
}

#[actix::test]
async fn a_tick_in_pieces_looks_after_each_campaign_once() {
    let house = House::open(0, Faults::default(), 7).await;
    let campaigns = (0..200).map(|number: u32| CampaignTerms {
        id: CampaignId(number.into()),
        slot: Slot { index: number, generation: number + 1 },
        ..terms(7)
    });
    house.budget.send(SetCampaigns(campaigns.collect())).await.expect("alive");
    house.tick(1_000).await;
    let published = house.shared.snapshot().load_full();
    let generations: Vec<u32> = published.paces.iter().map(|pace| pace.generation).collect();
    assert_eq!(generations, (1..=200).collect::<Vec<_>>());

    // Whatever the pieces, and whatever the catalog does between two of them.
    let mut state = house.shared.state.lock();
    let ticked = |state: &mut BudgetState, count| {
        let mut tick = state.begin_tick(house.clock.now().plus_millis(1_000));
        let mut pieces = 1;
        while state.tick_some(&mut tick, count) {
            pieces += 1;
        }
        (state.end_tick(tick).paces, pieces)
    };
    let (whole, one) = ticked(&mut state, usize::MAX);
    let (again, many) = ticked(&mut state, 7);
    assert_eq!((one, many), (1, 29));
    assert_eq!(again, whole);
    let mut tick = state.begin_tick(house.clock.now());
    assert!(state.tick_some(&mut tick, 100));
    let one_more = Slot { index: 900, generation: 1 };
    let fewer = [50, 150, 199].map(|number| CampaignTerms {
        id: CampaignId(number),
        slot: if number == 199 { one_more } else { Slot { index: number as u32, generation: 9 } },
        ..terms(7)
    });
    state.set_campaigns(&fewer, house.clock.now());
    while state.tick_some(&mut tick, 100) {}
    let paces = state.end_tick(tick).paces;
    assert_eq!((paces.len(), paces[150].generation), (200, 9));
}
