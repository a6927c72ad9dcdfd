//! One AuctionActor a worker: it hosts its core's leases, and remembers the features of its bids until
//! their impressions come. Its state lives in a [`Core`] outside the actor value, so that a panic costs
//! one request and neither money nor memory; and since the worker has the same thread, it has the core
//! decide by a call.

mod upkeep;

pub use upkeep::Tick;

use crate::auction::audit::{Audit, Audits};
use crate::auction::decide::Auctioneer;
use crate::auction::explain::DryPurse;
use crate::auction::fits;
use crate::auction::input::AuctionInput;
use crate::auction::outcome::Pick;
use crate::auction::purse::LeasePurse;
use crate::auction::reason::NoBid;
use crate::auction::ring::Ring;
use crate::auction::world::{Published, Seated, World, WorldCache};
use crate::budget::{Held, LeaseBook, LeaseInbox, LeaseRequest, LeaseTotals};
use crate::clock::{Civil, Mono};
use crate::latency::{StageRecorder, TickTimes};
use crate::prediction::{Click, Cross, Example, conversion_prior_logit, sigmoid};
use crate::privacy::{Cell, Contribute, Kind};
use crate::session::{CancelShow, PendShow};
use crate::strategy::pacing::{LocalPacing, LocalReport};
use crate::units::{HoldId, Micros, Slot, Timestamp, UserKey};
use actix::prelude::*;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;

/// Where an auction's side effects go; the server wires it. Each call must return at once: a full
/// mailbox is the callee's to count. It may keep what it is given until [`Outbox::flush`].
pub trait Outbox {
    /// A bid was made that will count as shown until it is lost or expires.
    fn pend_show(&self, show: PendShow);
    /// A bid that was announced will not be shown: its answer was not sent.
    fn cancel_show(&self, show: CancelShow);
    /// An impression's features, for the learner.
    fn learn(&self, example: Box<Example>);
    /// A click, for the learner.
    fn click(&self, click: Click);
    /// What one user did, for the releases.
    fn contribute(&self, contribution: Contribute);
    /// What the leases ask of the ledger.
    fn lease(&self, requests: Box<[LeaseRequest]>);
    /// What this core spent since its last report.
    fn report(&self, report: LocalReport);
    /// Sends whatever it has kept: called at the end of each message that may have given it some.
    fn flush(&self);
}

/// What is remembered of a bid until it is shown.
struct Bid {
    /// Whose pace it was bid at.
    pace: Slot,
    /// Clicks that a show of it promises, at the conversion rate that the campaign declares: to the
    /// controllers, a click that converts twice as often is two.
    promised: f32,
    /// What the learner will want to know; gone where a click came before the bill.
    example: Option<Box<Example>>,
}

/// What one core knows, outside of its actor.
pub struct Core {
    auctioneer: Auctioneer,
    world: WorldCache,
    leases: LeaseBook,
    inbox: LeaseInbox,
    pacing: LocalPacing,
    ring: Ring<Bid>,
    clicked: Ring<()>,
    audits: Audits,
    clicks_repeated: u64,
    /// Stage histograms of this core, shared with its HTTP worker on the same thread.
    pub recorder: Rc<RefCell<StageRecorder>>,
    outbox: Box<dyn Outbox>,
    clock: Civil,
    requests: Vec<LeaseRequest>,
    times: TickTimes,
    auctions: u64,
    bids: u64,
}

impl Core {
    /// A core that has decided nothing yet.
    #[must_use]
    pub fn new(
        core: u16,
        published: &Published,
        leases: LeaseBook,
        recorder: Rc<RefCell<StageRecorder>>,
        outbox: Box<dyn Outbox>,
        clock: Civil,
    ) -> Self {
        Self {
            auctioneer: Auctioneer::default(),
            world: WorldCache::new(published),
            leases,
            inbox: LeaseInbox::default(),
            pacing: LocalPacing::new(core),
            ring: Ring::new(),
            clicked: Ring::new(),
            audits: Audits::new(),
            clicks_repeated: 0,
            recorder,
            outbox,
            clock,
            requests: Vec::new(),
            times: TickTimes::default(),
            auctions: 0,
            bids: 0,
        }
    }

    /// Decides on `input`, announces what it bid, and asks for more money where it runs low.
    pub fn run(&mut self, input: &mut AuctionInput) {
        self.auctions += 1;
        if Mono::now() > input.deadline {
            // It waited too long: no money is held for an answer that nobody wants.
            input.outcome.no_bid = Some(NoBid::Deadline);
            return;
        }
        let world = self.world.refresh();
        if input.is_test {
            // Nobody pays: no lease is touched, nothing is remembered, and the URLs have expired.
            let mut recorder = self.recorder.borrow_mut();
            self.auctioneer.decide(world, &mut DryPurse, input, &mut recorder);
            return;
        }
        let mut purse = LeasePurse { leases: &mut self.leases, pacing: &mut self.pacing };
        let mut recorder = self.recorder.borrow_mut();
        self.auctioneer.decide(world, &mut purse, input, &mut recorder);
        drop(recorder);
        // What will be read of an ad, by the answer too, is on its way while the rest is done.
        for pick in &input.outcome.picks {
            world.catalog.prefetch_bid(pick.campaign, pick.ad);
            world.model.prefetch_ids(pick.ad);
            self.ring.prefetch(pick.held.hold);
        }
        self.auctioneer.count(world, &mut self.pacing, input);
        for pick in &input.outcome.picks {
            self.bids += 1;
            if let Some(ad) = world.catalog.ad(pick.ad) {
                ad.prefetch();
                if let Some(audit) = Audit::of(world, input, pick, ad) {
                    self.audits.put(input.seed, audit);
                }
            }
            let example = example_of(&self.auctioneer, world, input, pick);
            let row = world.catalog.row(pick.campaign);
            if let Some((example, row)) = example.zip(row) {
                let slot = world.pace_slot(Seated::of(row, pick.strategy_arm));
                let declared = row.bid.expected_cvr_ppm;
                let worth = pick.conversions_ppm as f32 / declared.max(1) as f32;
                let promised = example.predicted * if declared > 0 { worth } else { 1.0 };
                // A bid that gives way leaves its box, so that most bids ask nothing of the allocator.
                self.ring.put_with(pick.held.hold, |old| {
                    let example = boxed(old.and_then(|old| old.example), example);
                    Bid { pace: slot, promised, example: Some(example) }
                });
            }
            announce(&*self.outbox, world, input, pick);
        }
        if self.leases.has_urgent() {
            self.ask_for_money(input.now);
        }
    }

    /// What it bid lately.
    pub(super) const fn audits(&self) -> &Audits {
        &self.audits
    }

    /// Counts a billed show, once: its features are in the ring until then. What it promises counts
    /// with what it costs and never before, for a promise without a cost would raise others' prices.
    fn show(&mut self, shown: BidShown) {
        let Some(Bid { pace, promised, example }) = self.ring.take(shown.hold) else { return };
        self.pacing.on_show(pace, promised);
        if let Some(example) = example {
            self.tell_show(&shown, example);
        }
    }

    /// Tells aggregates and learner of a show.
    fn tell_show(&mut self, shown: &BidShown, mut example: Box<Example>) {
        let BidShown { user, is_forgotten, cell, at, price, .. } = *shown;
        example.at = at;
        self.outbox.contribute(Contribute { user, at, cell, kind: Kind::Impression, price });
        if !is_forgotten {
            self.outbox.learn(example);
        }
    }

    /// A bid is worth nothing any more: its answer was not sent.
    pub fn release(&mut self, bid: &Held) {
        self.leases.release(bid);
    }

    /// Where the ledger puts what this core's leases must know.
    #[must_use]
    pub fn inbox(&self) -> LeaseInbox {
        self.inbox.clone()
    }

    fn ask_for_money(&mut self, now: Timestamp) {
        self.leases.urgent(now, &mut self.requests);
        self.send_requests();
    }

    fn send_requests(&mut self) {
        if !self.requests.is_empty() {
            self.outbox.lease(self.requests.drain(..).collect());
        }
    }
}

/// `value` in a box, in this one where there is one.
fn boxed<T>(room: Option<Box<T>>, value: T) -> Box<T> {
    match room {
        Some(mut room) => {
            *room = value;
            room
        }
        None => Box::new(value),
    }
}

/// What the learner will want to know of a bid, should it be shown.
pub(super) fn example_of(
    auctioneer: &Auctioneer,
    world: &World,
    input: &AuctionInput,
    pick: &Pick,
) -> Option<Example> {
    let position = input.imps.iter().position(|imp| imp.position == pick.imp)?;
    let ad = world.catalog.ad(pick.ad)?;
    let row = world.catalog.row(pick.campaign)?;
    let calibration = auctioneer.calibration(world, input, position, row);
    Some(Example {
        hold: pick.held.hold,
        context: *auctioneer.context(position, pick.campaign)?,
        ad: world.model.ad_ids(ad.slot)?,
        cross: Cross {
            interest: pick.interest,
            prior_logit: pick.prior_logit,
            strengths: pick.strengths,
        },
        logit: calibration.map_or(f32::NAN, |platt| platt.invert(pick.logit)),
        conversion_prior_logit: conversion_prior_logit(row.bid.expected_cvr_ppm),
        predicted: sigmoid(pick.logit),
        calibration_group: row.calibration_group,
        user: input.user.filter(|_| input.permissions.measure),
        at: input.now,
        arm: input.arm as u8,
        learn: true,
    })
}

/// Tells the user's shard of a bid whose show would count against a frequency cap.
fn announce(outbox: &dyn Outbox, world: &World, input: &AuctionInput, pick: &Pick) {
    let Some(user) = input.user.filter(|_| input.permissions.store_session) else { return };
    let Some(campaign) = world.catalog.campaign(pick.campaign) else { return };
    let Some(ad) = world.catalog.ad(pick.ad).filter(|_| !campaign.frequency_caps.is_empty()) else {
        return;
    };
    // Until the exchange can no longer bill it, the ad may have been shown.
    let (hold, expires) = (pick.held.hold, pick.held.due.free_at());
    let (campaign, creative, caps) = (campaign.id, ad.id, &campaign.frequency_caps);
    let caps = caps.iter().map(|cap| fits::cap_of(cap, campaign, creative)).collect();
    outbox.pend_show(PendShow { user, campaign, creative, hold, expires, caps });
}

/// The actor over a [`Core`].
pub struct AuctionActor {
    core: Rc<RefCell<Core>>,
}

impl AuctionActor {
    /// What it works on.
    pub(super) const fn core(&self) -> &Rc<RefCell<Core>> {
        &self.core
    }

    /// An actor over `core`.
    #[must_use]
    pub const fn new(core: Rc<RefCell<Core>>) -> Self {
        Self { core }
    }
}

/// Messages that may wait: notices and grants of one core come in bursts of a tick.
const MAILBOX: usize = 4_096;

impl Actor for AuctionActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

/// What became of bids, in this order, as notices said: a message that crosses threads costs more
/// than what it does.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct EndBids(pub Vec<BidEnd>);

/// What became of one bid.
#[derive(Clone, Copy, Debug)]
pub enum BidEnd {
    /// Its ad was shown, and paid for.
    Shown(BidShown),
    /// It is worth nothing any more.
    Released(Held),
}

/// A bid's ad was shown, and paid for.
#[derive(Clone, Copy, Debug)]
pub struct BidShown {
    /// The bid's hold.
    pub hold: HoldId,
    /// Who saw it, where that may be measured.
    pub user: Option<UserKey>,
    /// Whether the user asked to be forgotten since the bid: nothing is learned from it.
    pub is_forgotten: bool,
    /// Where it is counted.
    pub cell: Cell,
    /// When.
    pub at: Timestamp,
    /// What it cost, a CPM in the account's currency.
    pub price: Micros,
}

/// A bid's ad was clicked: who, when, and the price that is held for it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct BidClicked(pub BidShown);

/// Asks how this core fares.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "CoreStatus")]
pub struct Status;

/// How one core fares.
#[derive(Clone, Debug, Serialize)]
pub struct CoreStatus {
    /// Auctions decided.
    pub auctions: u64,
    /// Bids made.
    pub bids: u64,
    /// Impressions whose features were gone.
    pub features_missed: u64,
    /// Bids whose features gave way to later ones.
    pub features_overwritten: u64,
    /// Clicks that had come before.
    pub clicks_repeated: u64,
    /// The money of its leases.
    pub leases: LeaseTotals,
}

// Mailboxes move messages by value.
const _: () = assert!(size_of::<EndBids>() <= 128);

impl Handler<EndBids> for AuctionActor {
    type Result = ();

    fn handle(&mut self, EndBids(ends): EndBids, _: &mut Self::Context) {
        let mut core = self.core.borrow_mut();
        for end in ends {
            match end {
                BidEnd::Shown(shown) => core.show(shown),
                BidEnd::Released(held) => {
                    core.leases.release(&held);
                }
            }
        }
        core.outbox.flush();
    }
}

impl Handler<BidClicked> for AuctionActor {
    type Result = ();

    fn handle(&mut self, BidClicked(clicked): BidClicked, _: &mut Self::Context) {
        let mut core = self.core.borrow_mut();
        let BidShown { hold, user, cell, at, .. } = clicked;
        if core.clicked.contains(hold) {
            core.clicks_repeated += 1;
            return;
        }
        core.clicked.put(hold, ());
        // Whatever was clicked was shown, also where the bill takes longer than the user: the
        // learner must have the show before the click.
        let waiting = core.ring.get_mut(hold).and_then(|bid| bid.example.take());
        if let Some(example) = waiting {
            core.tell_show(&clicked, example);
        }
        core.outbox.click(Click { hold, at });
        let price = Micros(0);
        core.outbox.contribute(Contribute { user, at, cell, kind: Kind::Click, price });
        core.outbox.flush();
    }
}

impl Handler<Status> for AuctionActor {
    type Result = MessageResult<Status>;

    fn handle(&mut self, _: Status, _: &mut Self::Context) -> Self::Result {
        let core = self.core.borrow();
        MessageResult(CoreStatus {
            auctions: core.auctions,
            bids: core.bids,
            features_missed: core.ring.missed,
            features_overwritten: core.ring.overwritten,
            clicks_repeated: core.clicks_repeated,
            leases: core.leases.totals(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::boxed;

    #[test]
    fn a_box_is_used_again_for_another_value() {
        let first = boxed(None, 1);
        let place: *const i32 = &raw const *first;
        let second = boxed(Some(first), 2);
        assert_eq!((*second, &raw const *second), (2, place));
    }
}
