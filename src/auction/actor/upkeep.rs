//! What a core does beside its auctions: it takes what the ledger says, looks after its leases, and
//! reports. All of it happens on the thread that bids, so it is done in pieces, and requests that came
//! meanwhile go first: ten thousand campaigns in one go would be the slowest answers of each second.

use super::{AuctionActor, Core};
use crate::budget::LeaseNews;
use crate::latency::TickTimes;
use crate::units::{Nanos, Slot, Timestamp};
use actix::prelude::*;
use std::rc::Rc;
use tokio::task::yield_now;

/// Campaigns whose leases are looked after before requests get their turn: an eightieth of ten
/// thousand, a few hash lookups each. As many are reported, and as many events taken, in one go.
const PIECE: usize = 128;

/// Time has passed: leases are renewed or given back, histograms handed out.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Tick {
    /// The present.
    pub now: Timestamp,
}

impl Core {
    /// The same core, which tells how long its ticks take.
    #[must_use]
    pub fn timed(self, times: TickTimes) -> Self {
        Self { times, ..self }
    }

    /// Takes some of what the ledger says, and asks for what follows from it; whether there may be
    /// more.
    fn read_inbox(&mut self, count: usize) -> bool {
        let now = self.clock.now();
        // One by one: a panic leaves the rest to the successor.
        let taken = std::iter::from_fn(|| self.inbox.take()).take(count);
        let taken = taken.map(|event| self.leases.handle(&event, now)).count();
        self.ask_for_money(now);
        taken == count
    }

    fn begin_tick(&mut self, now: Timestamp) {
        self.ask_for_money(now);
    }

    /// Looks after some leases; whether there are more to look after now.
    fn sweep_leases(&mut self, now: Timestamp) -> bool {
        let has_more = self.leases.sweep(now, PIECE, &mut self.requests);
        self.send_requests();
        has_more
    }

    /// Reports on some of its campaigns; whether there are more.
    fn report_some(&mut self) -> bool {
        let world = self.world.refresh();
        let tied = |slot: Slot| {
            let campaign = world.paced_in(slot);
            campaign.map_or((Nanos::ZERO, Nanos::ZERO), |campaign| self.leases.tied(campaign.id))
        };
        let report = self.pacing.report_some(PIECE, tied);
        let has_more = report.is_none();
        report.into_iter().for_each(|report| self.outbox.report(report));
        has_more
    }

    /// Sends what was kept, and hands out histograms.
    fn hand_out(&mut self) {
        self.outbox.flush();
        self.recorder.borrow_mut().publish();
    }
}

impl Handler<LeaseNews> for AuctionActor {
    type Result = ();

    fn handle(&mut self, _: LeaseNews, context: &mut Self::Context) {
        let core = Rc::clone(&self.core);
        if core.borrow().clock.is_simulated() {
            // Whoever asks after this finds that all of it was taken.
            while core.borrow_mut().read_inbox(PIECE) {}
        } else if core.borrow_mut().read_inbox(PIECE) {
            let rest = async move {
                yield_now().await;
                while core.borrow_mut().read_inbox(PIECE) {
                    yield_now().await;
                }
            };
            context.spawn(rest.into_actor(self));
        }
    }
}

impl Handler<Tick> for AuctionActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Tick { now }: Tick, _: &mut Self::Context) -> Self::Result {
        let core = Rc::clone(&self.core);
        let mut watch = core.borrow().times.begin();
        Box::pin(async move {
            watch.piece(|| core.borrow_mut().begin_tick(now));
            while watch.piece(|| core.borrow_mut().sweep_leases(now)) {
                yield_now().await;
            }
            while watch.piece(|| core.borrow_mut().report_some()) {
                yield_now().await;
            }
            watch.piece(|| core.borrow_mut().hand_out());
        })
    }
}
