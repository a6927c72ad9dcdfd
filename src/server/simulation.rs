//! Time in the engine: a tick at a time, each run to quiescence. In real time a timer starts them;
//! in simulation mode the clock moves with the header `X-Outbid-Now`, and whatever is due has
//! happened before the request is answered.

use crate::auction;
use crate::budget;
use crate::catalog;
use crate::market;
use crate::prediction;
use crate::privacy;
use crate::relevance;
use crate::server::engine::Engine;
use crate::session;
use crate::strategy::pacing::ReleasedSum;
use crate::units::Timestamp;
use actix::MailboxError;
use actix_web::http::header::HeaderMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The header that carries simulated time, in Unix milliseconds.
const NOW_HEADER: &str = "x-outbid-now";
/// Ticks run for one jump of the simulated clock: two days of seconds. Of a longer jump, as the
/// first one from the epoch to the present, only the last tick is run.
const TICKS_MAX: i64 = 172_800;
/// Rounds of questions and answers between cores and ledger. A lease has one step on its way at a
/// time and few reasons for a next one; what never comes to rest is counted and left alone.
const ROUNDS_MAX: u32 = 64;

impl Engine {
    /// Moves simulated time to what the request says, if it says so and time is simulated.
    pub async fn simulate(&self, headers: &HeaderMap) {
        if !self.civil.is_simulated() {
            return;
        }
        // What the call before began belongs to its own time.
        self.settle().await;
        let header = headers.get(NOW_HEADER).and_then(|value| value.to_str().ok());
        if let Some(now) = header.and_then(|text| text.parse().ok()) {
            self.advance(Timestamp(now)).await;
        }
    }

    /// Moves the simulated clock to `to`, stopping at each tick on the way.
    pub async fn advance(&self, to: Timestamp) {
        // One at a time: the public and the exchange listener may both bring news of the time.
        let mut last = self.ticks.lock().await;
        let tick_ms = i64::try_from(self.config.budget.tick_ms).unwrap_or(i64::MAX);
        let mut tick = start_of(last.unwrap_or_else(|| self.civil.now()), to, tick_ms);
        loop {
            let next = Timestamp((tick.0.div_euclid(tick_ms) + 1).saturating_mul(tick_ms));
            if next > to || next <= tick {
                break;
            }
            self.civil.advance(next);
            self.run_tick(next).await;
            tick = next;
        }
        *last = Some(tick);
        self.civil.advance(to);
    }

    /// One tick of everything, in the order of the data: cores report, the budget folds, releases
    /// and model are published.
    pub async fn run_tick(&self, now: Timestamp) {
        self.tick_money(now).await;
        self.tick_learning(now).await;
        self.is_unsettled.store(true, Ordering::Release);
        self.settle().await;
    }

    /// The part of a tick that bids depend on within the second.
    async fn tick_money(&self, now: Timestamp) {
        for worker in self.workers() {
            // A worker's actors end with it; then there is nothing to tick.
            let _ = worker.shard.send(session::Tick { now }).await;
            let _ = worker.auction.send(auction::Tick { now }).await;
        }
        self.count_failed([
            self.budget.address().send(budget::Tick { now }).await.is_err(),
            self.tick_releases(now).await,
            self.market.address().send(market::Tick { now }).await.is_err(),
            self.catalog.address().send(catalog::Tick { now }).await.is_err(),
        ]);
        if self.config.privacy.mode.is_strict() {
            self.tell_pacers().await;
        }
    }

    /// Has released what is due; whether that failed. In real time nobody waits for it: a large release,
    /// or a ledger on a slow disk, is to hold up no money.
    async fn tick_releases(&self, now: Timestamp) -> bool {
        let tick = privacy::Tick { now };
        if self.civil.is_simulated() {
            self.aggregates.address().send(tick).await.is_err()
        } else {
            !self.aggregates.tell(tick)
        }
    }

    /// Tells the pacers of conversions that were released, once a release.
    async fn tell_pacers(&self) {
        let releases = self.published.releases.load_full();
        if self.paced_on.swap(releases.epoch(), Ordering::Relaxed) == releases.epoch() {
            return;
        }
        let day = releases.day();
        let is_priced = self.published.model.load().conversions().is_none();
        let catalog = self.published.catalog.load_full();
        let released = catalog.all_campaigns().filter_map(|campaign| {
            let (id, declared_ppm) = (campaign.id, campaign.bid.expected_cvr_ppm);
            let sum = releases.today(id, privacy::Kind::Conversion)?;
            let declared = f64::from(declared_ppm) / 1e6;
            let rate = match is_priced && declared > 0.0 {
                true => releases.conversion_rate(id, declared_ppm) / declared,
                false => 1.0,
            };
            let released = ReleasedSum { day, seen: sum.value, variance: sum.variance, rate };
            Some(budget::ReleasedConversions { campaign: id, released })
        });
        let message = budget::ConversionsReleased(released.collect());
        if self.budget.address().send(message).await.is_err() {
            self.metrics.refused("conversions_released");
        }
    }

    /// The part that waits for whatever is still to be learned.
    async fn tick_learning(&self, now: Timestamp) {
        self.count_failed([
            self.learn(now).await.is_err(),
            self.relevance.address().send(relevance::Tick { now }).await.is_err(),
        ]);
        self.saved_model.tick();
        let shards = || self.workers().map(|worker| worker.shard.clone()).collect();
        self.saved_sessions.tick(&self.behaviour_log, shards);
        if let Err(error) = self.behaviour_log.tick(now) {
            tracing::error!(%error, "the behaviour log's keys stay as they are");
        }
        if let Err(error) = self.user_keys.tick(now) {
            tracing::error!(%error, "the keys of users stay as they are");
            self.metrics.refused("user_keys");
        }
    }

    fn count_failed<const N: usize>(&self, failed: [bool; N]) {
        for _ in failed.into_iter().filter(|failed| *failed) {
            self.metrics.refused("tick");
        }
    }

    /// The learner's tick; in simulation as many as it takes to learn all that is due.
    async fn learn(&self, now: Timestamp) -> Result<(), MailboxError> {
        loop {
            let published = self.learner.address().send(prediction::Tick { now }).await?;
            if !(published.has_more && self.civil.is_simulated()) {
                return Ok(());
            }
        }
    }

    /// Waits, in simulation mode, until every append so far is folded, every grant has arrived, and
    /// what the cores ask for upon it is answered too.
    pub async fn settle(&self) {
        if !self.civil.is_simulated() {
            return;
        }
        let mut rounds = 0;
        while self.is_unsettled.swap(false, Ordering::AcqRel) {
            if rounds == ROUNDS_MAX {
                self.metrics.refused("quiesce");
                return;
            }
            rounds += 1;
            if self.budget.address().send(budget::Quiesce).await.is_err() {
                self.metrics.refused("quiesce");
            }
            for worker in self.workers() {
                // Grants are in the mailbox; an answer to anything sent now comes after them.
                let _ = worker.auction.send(auction::Status).await;
            }
        }
    }
}

/// Where ticks on the way from `last` to `to` begin: a jump past [`TICKS_MAX`] leaves all but its
/// last tick out, now and for every later call.
fn start_of(last: Timestamp, to: Timestamp, tick_ms: i64) -> Timestamp {
    if to.0.saturating_sub(last.0) / tick_ms <= TICKS_MAX {
        return last;
    }
    Timestamp((to.0.div_euclid(tick_ms) - 1).saturating_mul(tick_ms))
}

/// Ticks what bids depend on, in real time until the engine is dropped.
pub async fn tick_money_in_real_time(engine: Arc<Engine>) {
    let mut timer = timer(&engine);
    loop {
        timer.tick().await;
        engine.tick_money(engine.civil.now()).await;
    }
}

/// Ticks what learns, in real time until the engine is dropped.
pub async fn tick_learning_in_real_time(engine: Arc<Engine>) {
    let mut timer = timer(&engine);
    loop {
        timer.tick().await;
        engine.tick_learning(engine.civil.now()).await;
    }
}

fn timer(engine: &Engine) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(Duration::from_millis(engine.config.budget.tick_ms));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    timer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_from_the_epoch_runs_one_tick_and_not_every_second_since_1970() {
        let now = Timestamp(1_790_000_000_500);
        assert_eq!(start_of(Timestamp(0), now, 1_000), Timestamp(1_789_999_999_000));
        let an_hour_ago = now.plus_millis(-3_600_000);
        assert_eq!(start_of(an_hour_ago, now, 1_000), an_hour_ago);
        assert_eq!(start_of(now, Timestamp(0), 1_000), now, "time does not go back");
    }
}
