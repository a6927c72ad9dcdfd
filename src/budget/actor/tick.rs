//! What the budget actor does as time passes, in pieces: what ten thousand campaigns take in one go,
//! grants and bids would wait for.

use super::{BudgetActor, Shared};
use crate::budget::command::Command;
use crate::latency::TickTimes;
use crate::priority::give_way;
use crate::units::Timestamp;
use actix::{Handler, Message, ResponseFuture};
use std::sync::Arc;

/// Campaigns that are looked after before others get their turn: some 0.1 ms.
const PIECE: usize = 64;

/// Time passes: days turn over, late money expires, controllers run, multipliers are published.
/// Answered when all of it has happened, and all that was appended before it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Tick {
    /// The time.
    pub now: Timestamp,
}

impl Handler<Tick> for BudgetActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Tick { now }: Tick, context: &mut Self::Context) -> Self::Result {
        let is_due = self.shared.state.lock().ledger.has_due(now);
        // A log that takes nothing would be offered one more each tick.
        if is_due && self.shared.writer.log().status().health.takes() {
            self.submit(Command::Expire, context);
        }
        let shared = Arc::clone(&self.shared);
        let quiet = shared.writer.progress().quiet();
        Box::pin(async move {
            quiet.await;
            shared.tick(now).await;
        })
    }
}

impl Shared {
    /// How long ticks took.
    #[must_use]
    pub const fn times(&self) -> &TickTimes {
        &self.times
    }

    /// Runs all controllers and publishes. Grants and charges that come meanwhile go first.
    async fn tick(&self, now: Timestamp) {
        let mut watch = self.times.begin();
        let mut tick = self.state.lock().begin_tick(now);
        while watch.piece(|| self.state.lock().tick_some(&mut tick, PIECE)) {
            give_way().await;
        }
        watch.piece(|| {
            let snapshot = self.state.lock().end_tick(tick);
            self.snapshot.publish(Arc::new(snapshot));
        });
    }
}
