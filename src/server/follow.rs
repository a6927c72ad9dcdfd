//! What follows from notices, once it may: sessions count the show, the learner and the releases
//! hear of it, a lost bid's money is free, and the books say what the ledger made of each charge.
//!
//! A message that wakes another thread costs more than what it tells, and exchanges send notices by
//! the thousand: so what follows from those of a few milliseconds goes to each shard and each core
//! as one message. The first notice of them is answered when all that is done; its connection
//! feels the back-pressure, and a server that stops waits for it.

use crate::auction::{BidEnd, BidShown, EndBids};
use crate::budget::{ArmsBilled, Due, Held};
use crate::notice::entry::{Entry, Subject};
use crate::notice::outcome::{Outcome, Said};
use crate::notice::{BidToken, Purpose};
use crate::server::engine::Engine;
use crate::session::{CancelShow, ConfirmShow, ShowChange};
use crate::store::Position;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join3};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds for which the first waits for others. No money depends on them: caps count a bid as
/// shown from the start, and a bill is durable before. Who asks meanwhile to be forgotten is.
const GATHER_MS: u64 = 2;
/// Consequences that wait; the notice that finds so many carries them at once and is answered when
/// there was room for them. What 500,000 notices a second would bring in the time.
const GATHERED_MAX: usize = 1_024;

/// Milliseconds that the ledger gets to say what it made of charges that are in its log.
const SETTLE_MS_MAX: u64 = 5_000;

/// What follows from one notice.
pub struct Consequence {
    /// For the shard of the user, where there is one.
    pub show: Option<ShowChange>,
    /// For the core of the bid.
    pub end: BidEnd,
    /// For the books, where the notice charges.
    pub charged: Option<Charged>,
}

/// A charge that is in the ledger's log.
pub struct Charged {
    /// Where.
    pub position: Position,
    /// Which notice said so.
    pub purpose: Purpose,
    /// The bid.
    pub token: BidToken,
    /// Until when it might be billed.
    pub due: Due,
    /// What was said of it before.
    pub before: Said,
    /// Its entry for the event log, but for what became of it.
    pub entry: Entry,
}

impl Consequence {
    /// The ad was shown and paid for.
    pub fn shown(show: Option<ConfirmShow>, shown: BidShown, charged: Charged) -> Self {
        Self {
            show: show.map(ShowChange::Confirm),
            end: BidEnd::Shown(shown),
            charged: Some(charged),
        }
    }

    /// The bid lost.
    pub fn released(show: Option<CancelShow>, held: Held) -> Self {
        Self { show: show.map(ShowChange::Cancel), end: BidEnd::Released(held), charged: None }
    }

    /// As far as the user allows by now: without him, where he has asked to be forgotten since.
    fn into_allowed(mut self, allowed: impl FnOnce(BidToken) -> BidToken) -> Self {
        if let Some(charged) = &mut self.charged {
            charged.token = allowed(charged.token);
            if charged.token.is_withheld() {
                self.show = None;
                if let BidEnd::Shown(shown) = &mut self.end {
                    (shown.user, shown.is_forgotten) = (None, true);
                }
            }
        }
        self
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

    /// Takes what follows from a notice. What it returns must be run to its end, whoever has gone; in a
    /// box, since one notice of many gets it and the futures of all would have room for it.
    #[must_use]
    pub fn take(self: &Rc<Self>, consequence: Consequence) -> Option<LocalBoxFuture<'static, ()>> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(consequence);
        let is_full = waiting.len() >= GATHERED_MAX;
        (waiting.len() == 1 || is_full).then(|| {
            let follow = self.clone();
            let gather_ms = if is_full { 0 } else { GATHER_MS };
            async move { follow.carry(gather_ms).await }.boxed_local()
        })
    }

    async fn carry(&self, gather_ms: u64) {
        let engine = &*self.engine;
        // In simulation whatever was answered has happened, and one notice comes at a time.
        if gather_ms > 0 && !engine.civil.is_simulated() {
            actix_web::rt::time::sleep(Duration::from_millis(gather_ms)).await;
        }
        let (mut shows, mut ends) = (BTreeMap::new(), BTreeMap::new());
        let mut charges = Vec::new();
        for consequence in self.waiting.borrow_mut().drain(..) {
            let Consequence { show, end, charged } =
                consequence.into_allowed(|token| engine.without_forgotten(token));
            charges.extend(charged);
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
        // One after the other each would wake this thread and put it to sleep again.
        let shows = async {
            for (shard, changes) in shows {
                engine.change_shows(shard, changes).await;
            }
        };
        let ends = async {
            for (core, ends) in ends {
                engine.tell_core(core, EndBids(ends)).await;
            }
        };
        let book = async {
            if !charges.is_empty() {
                engine.book(charges).await;
            }
        };
        join3(shows, ends, book).await;
    }
}

impl Engine {
    /// Asks the ledger what it made of charges, counts it and writes it down.
    async fn book(&self, charges: Vec<Charged>) {
        let positions = charges.iter().map(|charged| charged.position).collect();
        let limit = Duration::from_millis(SETTLE_MS_MAX);
        let settled = tokio::time::timeout(limit, self.ledger.settlements(positions)).await;
        let settled = settled.ok();
        let mut bills = Vec::new();
        for (place, charged) in charges.into_iter().enumerate() {
            let Charged { purpose, token, due, before, entry, .. } = charged;
            let outcome = match &settled {
                Some(settled) => {
                    let settlement = settled.get(place).copied().flatten();
                    bills.extend(self.arm_books.settled(&token, settlement));
                    Outcome::of_charge(settlement, due, before)
                }
                None => Outcome::Unconfirmed,
            };
            if !outcome.is_idle() {
                if let Some(source) = entry.source {
                    self.metrics.price(source.label());
                }
                self.touch(Purpose::View, &token, self.civil.now());
            }
            self.note(purpose, outcome, entry);
        }
        if !bills.is_empty() && self.budget.address().send(ArmsBilled(bills)).await.is_err() {
            self.metrics.refused("arm_bills");
        }
    }

    /// Counts a notice and writes its entry.
    pub fn note(&self, purpose: Purpose, outcome: Outcome, entry: Entry) {
        self.metrics.notice(purpose, outcome);
        self.event_log.write(&Entry { subject: Subject::Notice(purpose, outcome), ..entry });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::token::tests::token;
    use crate::privacy::{Cell, ContextBucket};

    fn shown() -> Consequence {
        let token = token();
        let BidToken { campaign, creative, hold, price, issued: at, .. } = token;
        let user = token.user.expect("it is known");
        let show = Some(ConfirmShow { user, campaign, creative, hold, at });
        let cell = Cell { campaign, bucket: ContextBucket::default() };
        let user = Some(user);
        let shown = BidShown { hold, user, is_forgotten: false, cell, at, price };
        let (position, due) = (Position(1), Due::default());
        let (before, entry) = (Said::default(), Entry::of(Subject::Suppressed));
        let charged = Charged { position, purpose: Purpose::Win, token, due, before, entry };
        Consequence::shown(show, shown, charged)
    }

    /// Whether the session, the core and the books know the user.
    fn knows(consequence: &Consequence) -> [bool; 3] {
        let BidEnd::Shown(shown) = &consequence.end else { return [false; 3] };
        let is_kept = consequence.charged.as_ref().is_some_and(|one| !one.token.is_withheld());
        let is_known = shown.user.is_some() && !shown.is_forgotten;
        [consequence.show.is_some(), is_known, is_kept]
    }

    #[test]
    fn who_asks_meanwhile_to_be_forgotten_is() {
        assert_eq!(knows(&shown().into_allowed(|token| token)), [true; 3]);
        let forgotten = shown().into_allowed(|mut token| {
            token.withhold();
            token
        });
        assert_eq!(knows(&forgotten), [false; 3]);
        let held = Held { price: token().price, ..Held::default() };
        let released = Consequence::released(None, held).into_allowed(|_| unreachable!());
        assert!(matches!(released.end, BidEnd::Released(_)));
    }
}
