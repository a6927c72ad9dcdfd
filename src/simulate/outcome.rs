//! What follows from a sale: notices with their delays and mishaps, the impression, the click, the
//! purchase. Chance is drawn from the imp's own stream, not from what happened before.

use super::Error;
use super::answer::{AnsweredBid, Macros, path_of};
use super::books::Scored;
use super::day::Run;
use super::random::{Purpose, log_normal, stream};
use super::request::Opportunity;
use super::shop::{Behaviour, ShopEvent};
use super::truth::Showing;
use crate::hash::combine;
use crate::units::{Micros, Timestamp};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A shown ad that was clicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clicked {
    /// Names the events that follow.
    number: u64,
    user: u32,
    campaign: String,
    /// The item that the ad shows, which the landing page sells.
    good: Option<u16>,
    /// Whether a purchase follows the click, after how long.
    purchase_ms: Option<i64>,
    url: Option<String>,
}

/// What falls due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A win or loss notice, or a repeated one.
    Notice { path: String },
    /// The billing notice of an impression; the first that arrives charges.
    Bill { path: String, campaign: String, arm: String, shown: Timestamp, price: Micros },
    /// A click.
    Click(Box<Clicked>),
    /// A visit to the shop after a click.
    Visit { event: Box<ShopEvent>, campaign: String },
}

#[derive(Debug, PartialEq, Eq)]
struct Scheduled {
    at: Timestamp,
    order: u64,
    action: Action,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What will happen, earliest first, in the order of its causes at one time. It holds a few entries
/// for each imp won or lost within the last minutes, so traffic bounds it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
}

impl Queue {
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(next)| next.at)
    }

    fn push(&mut self, at: Timestamp, action: Action) {
        self.order += 1;
        self.heap.push(Reverse(Scheduled { at, order: self.order, action }));
    }

    fn pop(&mut self) -> Option<(Timestamp, Action)> {
        self.heap.pop().map(|Reverse(next)| (next.at, next.action))
    }
}

/// Milliseconds around a median, between a tenth of it and ten times it.
fn around(rng: &mut impl Rng, median_ms: f64) -> i64 {
    log_normal(rng, median_ms, 0.8).clamp(median_ms / 10.0, median_ms * 10.0) as i64
}

impl Run<'_> {
    /// Books a win and schedules what follows.
    pub(super) fn won(
        &mut self,
        opportunity: &Opportunity,
        auction: &str,
        position: usize,
        bid: AnsweredBid,
        price: Micros,
    ) {
        let number = combine(opportunity.number, position as u64);
        let mut rng = stream(self.world.seed, Purpose::Outcome, number);
        let faults = self.plan.faults;
        self.totals().wins += 1;
        self.result.campaigns.entry(bid.campaign().to_owned()).or_default().wins += 1;
        let macros = Macros { auction, bid: &bid, price, loss: None, needed: None };
        let at = opportunity.at.plus_millis(around(&mut rng, 300.0));
        if let Some(path) = bid.nurl.as_deref().and_then(|url| macros.path(url)) {
            self.notify(&mut rng, at, faults.win_lost, Action::Notice { path });
        }
        let shown = opportunity.at.plus_millis(around(&mut rng, 1_200.0));
        if rng.random::<f64>() < faults.unrendered {
            return;
        }
        let billing = bid.burl.as_deref().and_then(|url| macros.path(url));
        self.impression(&mut rng, opportunity, position, number, &bid, shown);
        let campaign = bid.campaign().to_owned();
        let arm = bid.ext.outbid.arm.clone().unwrap_or_default();
        let is_late = rng.random::<f64>() < faults.late;
        let delay = if is_late {
            self.totals().notices_late += 1;
            rng.random_range(120_000..faults.late_ms.max(120_001))
        } else {
            around(&mut rng, 2_000.0)
        };
        let delivered = billing.is_some_and(|path| {
            let action = Action::Bill { path, campaign: campaign.clone(), arm, shown, price };
            self.notify(&mut rng, shown.plus_millis(delay), faults.billing_lost, action)
        });
        if !delivered {
            let books = self.result.campaigns.entry(campaign).or_default();
            books.unnotified += price.per_impression();
        }
    }

    /// Books an impression and draws whether it is clicked.
    fn impression(
        &mut self,
        rng: &mut ChaCha8Rng,
        opportunity: &Opportunity,
        position: usize,
        number: u64,
        bid: &AnsweredBid,
        shown: Timestamp,
    ) {
        let Some(slot) = opportunity.slots.get(position).copied() else {
            return;
        };
        let showing = Showing {
            at: shown,
            user: opportunity.user,
            intent: opportunity.intent,
            seen: &opportunity.seen,
            publisher: opportunity.publisher,
            slot,
            campaign: bid.campaign(),
            creative: bid.creative(),
        };
        let truth = self.world.click_probability(&showing);
        let clicked = rng.random::<f64>() < truth;
        let simulated = &bid.ext.outbid;
        let by_model = simulated.arm.as_deref().is_none_or(|arm| arm == "full");
        let scored = Scored { predicted: simulated.pctr, truth, clicked, by_model };
        self.result.scored.push(scored);
        let arm = self.result.arms.entry(simulated.arm.clone().unwrap_or_default()).or_default();
        arm.impressions += 1;
        arm.clicks += u64::from(clicked);
        arm.expected_clicks += truth;
        let books = self.result.campaigns.entry(bid.campaign().to_owned()).or_default();
        books.impressions += 1;
        books.clicks += u64::from(clicked);
        self.totals().impressions += 1;
        self.totals().clicks += u64::from(clicked);
        let buys = rng.random::<f64>() < self.world.conversion_probability(&showing);
        let delay = self.world.spec.conversion.delay_ms(rng);
        let wait = around(rng, 6_000.0);
        if clicked {
            let click = Clicked {
                number,
                user: opportunity.user,
                campaign: bid.campaign().to_owned(),
                good: self.world.shown_by(bid.creative()).first().copied(),
                purchase_ms: buys.then_some(delay),
                url: simulated.click.clone(),
            };
            self.queue.push(shown.plus_millis(wait), Action::Click(Box::new(click)));
        }
    }

    /// Books a loss and schedules its notice.
    pub(super) fn lost(
        &mut self,
        opportunity: &Opportunity,
        auction: &str,
        position: usize,
        bid: &AnsweredBid,
        reason: u32,
        needed: Micros,
    ) {
        self.totals().losses += 1;
        let number = combine(opportunity.number, position as u64);
        let mut rng = stream(self.world.seed, Purpose::Outcome, number);
        let macros =
            Macros { auction, bid, price: needed, loss: Some(reason), needed: Some(needed) };
        if let Some(path) = bid.lurl.as_deref().and_then(|url| macros.path(url)) {
            let at = opportunity.at.plus_millis(around(&mut rng, 2_000.0));
            self.notify(&mut rng, at, self.plan.faults.loss_untold, Action::Notice { path });
        }
    }

    /// Schedules a notice unless it gets lost, sometimes twice; answers whether it will arrive.
    fn notify(&mut self, rng: &mut ChaCha8Rng, at: Timestamp, lost: f64, action: Action) -> bool {
        let arrives = rng.random::<f64>() >= lost;
        let twice = rng.random::<f64>() < self.plan.faults.duplicated;
        let again = at.plus_millis(around(rng, 20_000.0));
        if !arrives {
            self.totals().notices_lost += 1;
            return false;
        }
        if twice {
            self.totals().notices_duplicated += 1;
            let (Action::Notice { path } | Action::Bill { path, .. }) = &action else {
                return true; // clicks and visits are no notices
            };
            self.queue.push(again, Action::Notice { path: path.clone() });
        }
        self.queue.push(at, action);
        true
    }

    /// Does what falls due next.
    pub(super) async fn deliver_next(&mut self) -> Result<(), Error> {
        match self.queue.pop() {
            None => Ok(()),
            Some((now, Action::Notice { path })) => self.call_notice(now, &path).await.map(|_| ()),
            Some((now, Action::Bill { path, campaign, arm, shown, price })) => {
                let taken = self.call_notice(now, &path).await?;
                let amount = price.per_impression();
                let books = self.result.campaigns.entry(campaign).or_default();
                if taken {
                    books.bill(shown.millis_since(self.plan.start), amount);
                    self.result.arms.entry(arm).or_default().billed += amount;
                    self.spend += amount;
                } else {
                    books.unnotified += amount;
                }
                Ok(())
            }
            Some((now, Action::Click(clicked))) => self.click(now, *clicked).await,
            Some((now, Action::Visit { event, campaign })) => {
                if event.behaviour == Behaviour::Purchase {
                    self.totals().conversions += 1;
                    self.result.campaigns.entry(campaign).or_default().conversions += 1;
                }
                self.post_events(now, &[*event]).await
            }
        }
    }

    /// Calls a notice; answers whether the engine took it.
    async fn call_notice(&mut self, now: Timestamp, path: &str) -> Result<bool, Error> {
        let reply = self.public.get(now, path).await?;
        let taken = (200..300).contains(&reply.status);
        self.totals().notices += 1;
        self.totals().notices_refused += u64::from(!taken);
        Ok(taken)
    }

    /// Follows a click to the landing page; a view follows, and perhaps a purchase.
    async fn click(&mut self, now: Timestamp, clicked: Clicked) -> Result<(), Error> {
        let location = match clicked.url.as_deref().and_then(path_of) {
            Some(path) => self.public.get(now, path).await?,
            None => {
                self.totals().clicks_refused += 1;
                return Ok(());
            }
        };
        let token = location.location.as_deref().and_then(click_token).map(str::to_owned);
        let category = self.world.category_of(&clicked.campaign);
        let (Some(token), Some(category)) = (token, category) else {
            self.totals().clicks_refused += 1;
            return Ok(());
        };
        let advertiser = self.world.ads.get(&clicked.campaign).map(|ad| ad.advertiser.clone());
        let view = ShopEvent {
            id: format!("v{:x}", clicked.number),
            at: now.plus_millis(2_000),
            user: clicked.user,
            behaviour: Behaviour::View,
            category,
            item: (clicked.number % 40) as u8,
            good: clicked.good,
            click: Some(token),
            advertiser,
        };
        if let Some(delay) = clicked.purchase_ms {
            let purchase = ShopEvent {
                id: format!("c{:x}", clicked.number),
                at: now.plus_millis(delay.max(3_000)),
                behaviour: Behaviour::Purchase,
                ..view.clone()
            };
            let campaign = clicked.campaign.clone();
            self.queue.push(purchase.at, Action::Visit { event: Box::new(purchase), campaign });
        }
        let event = Box::new(view);
        self.queue.push(event.at, Action::Visit { event, campaign: clicked.campaign });
        Ok(())
    }
}

/// The click token that the engine added to a landing page.
fn click_token(location: &str) -> Option<&str> {
    let (_, query) = location.split_once('?')?;
    let query = query.split('#').next()?;
    query.split('&').find_map(|pair| pair.strip_prefix("obclid=")).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_goes_by_time_and_then_by_cause() {
        let mut queue = Queue::default();
        for (at, path) in [(5, "b"), (3, "a"), (5, "c"), (4, "x")] {
            queue.push(Timestamp(at), Action::Notice { path: path.to_owned() });
        }
        let mut order = String::new();
        while let Some((_, Action::Notice { path })) = queue.pop() {
            order.push_str(&path);
        }
        assert_eq!(order, "axbc");
    }

    #[test]
    fn click_tokens_are_found_in_landing_pages() {
        for (location, expected) in [
            ("https://shop.example/?obclid=abc", Some("abc")),
            ("https://shop.example/a?x=1&obclid=abc&y=2#top", Some("abc")),
            ("https://shop.example/a?xobclid=abc", None),
            ("https://shop.example/a?obclid=", None),
            ("https://shop.example/", None),
        ] {
            assert_eq!(click_token(location), expected, "{location}");
        }
    }
}
