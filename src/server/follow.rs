//! What follows from notices, once it may: sessions count the show, the learner and the releases
//! hear of it, a lost bid's money is free.
//!
//! A message that wakes another thread costs more than what it tells, and exchanges send notices by
//! the thousand: so what follows from those of a few milliseconds goes to each shard and each core
//! as one message. The first notice of them is answered when all that is done; its connection
//! feels the back-pressure, and a server that stops waits for it.

use crate::auction::{BidEnd, BidShown, EndBids};
use crate::budget::Held;
use crate::server::engine::Engine;
use crate::session::{CancelShow, ConfirmShow, ShowChange};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds for which the first waits for others. Nothing depends on them: caps count a bid as
/// shown from the start, and a bill is durable before.
const GATHER_MS: u64 = 2;
/// Consequences that wait; the notice that finds so many carries them at once and is answered when
/// there was room for them. What 500,000 notices a second would bring in the time.
const GATHERED_MAX: usize = 1_024;

/// What follows from one notice.
pub struct Consequence {
    /// For the shard of the user, where there is one.
    pub show: Option<ShowChange>,
    /// For the core of the bid.
    pub end: BidEnd,
}

impl Consequence {
    /// The ad was shown and paid for.
    pub fn shown(show: Option<ConfirmShow>, shown: BidShown) -> Self {
        Self { show: show.map(ShowChange::Confirm), end: BidEnd::Shown(shown) }
    }

    /// The bid lost.
    pub fn released(show: Option<CancelShow>, held: Held) -> Self {
        Self { show: show.map(ShowChange::Cancel), end: BidEnd::Released(held) }
    }
}

/// The consequences of one listener's notices.
pub struct Follow {
    engine: Arc<Engine>,
    waiting: RefCell<Vec<Consequence>>,
}

impl Follow {
    /// Nothing follows yet.
    pub fn new(engine: Arc<Engine>) -> Rc<Self> {
        Rc::new(Self { engine, waiting: RefCell::default() })
    }

    /// Takes what follows from a notice. What it returns must be run to its end, whoever has gone.
    #[must_use]
    pub fn take(
        self: &Rc<Self>,
        consequence: Consequence,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(consequence);
        let is_full = waiting.len() >= GATHERED_MAX;
        (waiting.len() == 1 || is_full).then(|| {
            let follow = self.clone();
            let gather_ms = if is_full { 0 } else { GATHER_MS };
            async move { follow.carry(gather_ms).await }
        })
    }

    async fn carry(&self, gather_ms: u64) {
        let engine = &*self.engine;
        // In simulation whatever was answered has happened, and one notice comes at a time.
        if gather_ms > 0 && !engine.civil.is_simulated() {
            actix_web::rt::time::sleep(Duration::from_millis(gather_ms)).await;
        }
        let (mut shows, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for Consequence { show, end } in self.waiting.take() {
            if let Some(show) = show {
                let shard = engine.shard_map.shard_of(show.user());
                shows.entry(shard).or_insert_with(Vec::new).push(show);
            }
            let hold = match &end {
                BidEnd::Shown(shown) => shown.hold,
                BidEnd::Released(held) => held.hold,
            };
            ends.entry(hold.lease.core).or_insert_with(Vec::new).push(end);
        }
        for (shard, changes) in shows {
            engine.change_shows(shard, changes).await;
        }
        for (core, ends) in ends {
            engine.tell_core(core, EndBids(ends)).await;
        }
    }
}
