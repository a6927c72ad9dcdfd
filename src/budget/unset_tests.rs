//! Budgets on their way into the ledger: late ones, refused ones, and a log that takes nothing.

use super::actor_tests::{CAMPAIGN, terms};
use super::state::BudgetState;
use super::*;
use crate::clock::Civil;
use crate::store::{
    AppendError, Done, Health, LogStatus, MemoryLog, OrderedLog, Position, Record, Tail, Trimmed,
};
use crate::units::{AdvertiserId, LeaseId, Nanos, Timestamp};
use actix::Actor;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const NOW: Timestamp = Timestamp(1_000_000);

/// A log with a door that can be shut, as a full disk shuts it.
struct Door {
    log: MemoryLog,
    is_shut: AtomicBool,
    refused: AtomicUsize,
}

impl OrderedLog for Door {
    fn append(&self, idem: u128, body: Bytes, done: Done) {
        if self.is_shut.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return done(Err(AppendError::Refused));
        }
        self.log.append(idem, body, done);
    }

    fn tail(&self, from: Position) -> Result<Tail, Trimmed> {
        self.log.tail(from)
    }

    fn head(&self) -> Position {
        self.log.head()
    }

    fn trim(&self, upto: Position) {
        self.log.trim(upto);
    }

    fn status(&self) -> LogStatus {
        let is_shut = self.is_shut.load(Ordering::SeqCst);
        let health = if is_shut { Health::Full } else { Health::Good };
        LogStatus { health, ..LogStatus::default() }
    }
}

#[actix::test]
async fn a_log_that_takes_nothing_is_told_of_and_budgets_outlive_an_actor() {
    let clock = Civil::simulated(NOW);
    let log = MemoryLog::open(clock.clone()).expect("a thread");
    let (is_shut, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let door = Arc::new(Door { log, is_shut, refused });
    let log: Arc<dyn OrderedLog> = door.clone();
    let shared = Shared::new(LedgerWriter::new(log, 1), clock.clone(), 0, 1, 60_000);
    let budget = BudgetActor::new(Arc::clone(&shared)).start();
    budget.send(SetCampaigns([terms(10)].into())).await.expect("alive");
    assert_eq!(budget.send(ReadUnset).await.expect("alive"), []);
    let lease = LeaseId { node: 0, core: 0, boot: 1, number: 0 };
    let (day, asked) = (DayNumber(0), Nanos(1));
    let open = LeaseOp::Open { campaign: CAMPAIGN, day, purpose: Purpose::Serve, asked };
    for (step, op) in [(0, open), (1, LeaseOp::Close)] {
        shared.writer().append(&Command::Lease { lease, step, op }).await.expect("taken");
    }
    budget.send(Quiesce).await.expect("alive");

    door.is_shut.store(true, Ordering::SeqCst);
    clock.advance(NOW.plus_millis(10 * 86_400_000));
    for _ in 0..3 {
        budget.send(Tick { now: clock.now() }).await.expect("alive");
    }
    assert_eq!(door.refused.load(Ordering::SeqCst), 0, "ticks do not pile up before it");
    budget.send(SetCampaigns([terms(20)].into())).await.expect("alive");
    let waiting = vec![(CAMPAIGN, Unset::Waiting)];
    assert_eq!(budget.send(ReadUnset).await.expect("alive"), waiting);
    // The same budget again is no new edition, and no less on its way.
    budget.send(SetCampaigns([terms(20)].into())).await.expect("alive");
    assert_eq!(budget.send(ReadUnset).await.expect("alive"), waiting);

    drop(budget);
    let budget = BudgetActor::new(Arc::clone(&shared)).start();
    assert_eq!(budget.send(ReadUnset).await.expect("alive"), waiting);
    door.is_shut.store(false, Ordering::SeqCst);
    drop(budget);
    let budget = BudgetActor::new(Arc::clone(&shared)).start();
    budget.send(Tick { now: clock.now() }).await.expect("alive");
    assert_eq!(budget.send(ReadUnset).await.expect("alive"), []);
    let view = budget.send(Status).await.expect("alive").campaigns[0].account.clone();
    assert_eq!(view.expect("known").day.budget, Some(terms(20).budget.daily));
}

#[test]
fn an_edition_that_comes_late_or_is_refused_says_nothing_of_a_newer_one() {
    let mut state = BudgetState::new(0, 1, Ledger::default());
    let mut position = 0;
    let mut fold = |state: &mut BudgetState, commands: &[Command]| {
        for command in commands {
            position += 1;
            let (position, body) = (Position(position), command.encode());
            state.fold(&Record { position, at: NOW, idem: 0, body }).expect("it folds");
        }
    };
    let set = |state: &mut BudgetState, bids: u64, advertiser: u64| {
        let advertiser = AdvertiserId(advertiser);
        state.set_campaigns(&[CampaignTerms { advertiser, ..terms(bids) }], NOW)
    };
    let first = set(&mut state, 10, 1);
    let second = set(&mut state, 20, 1);
    assert_eq!(state.unset(), [(CAMPAIGN, Unset::Waiting)]);
    fold(&mut state, &first);
    assert_eq!(state.unset(), [(CAMPAIGN, Unset::Waiting)], "the answer to the one before");
    fold(&mut state, &second);
    fold(&mut state, &first);
    assert_eq!(state.ledger.house().refused, 1, "stale");
    assert_eq!(state.unset(), []);
    let moved = set(&mut state, 20, 2);
    fold(&mut state, &moved);
    let refused = Unset::Refused(Refusal::UnknownCampaign);
    assert_eq!(state.unset(), [(CAMPAIGN, refused)]);
    assert!(set(&mut state, 20, 2).is_empty(), "no new edition");
    assert_eq!(state.unset(), [(CAMPAIGN, refused)]);
    let back = set(&mut state, 20, 1);
    fold(&mut state, &back);
    assert_eq!(state.unset(), []);
}
