//! The course of a replay: auctions, notices, edits and ticks in the order of time.

use super::auction::{DAY_MS, Logged, Shape};
use super::books::Books;
use super::market::{Market, PriceRule};
use super::report::{DayCourse, Point, Report};
use crate::budget::{DayNumber, Held, Windows};
use crate::hash::mix;
use crate::market::{self, MarketSnapshot, Observation, Place, SizeClass};
use crate::strategy::pacing::{CampaignPacing, DaySpan, LocalPacing, PacingSnapshot, TickInput};
use crate::strategy::{Shading, Strategy, ValueInput};
use crate::units::{CurrencyCode, Micros, Nanos, Slot, Timestamp};
use std::collections::BTreeMap;

/// The campaign's place in the pacing snapshot.
const SLOT: Slot = Slot { index: 0, generation: 1 };

/// Another budget from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// When it takes effect.
    pub at: Timestamp,
    /// The bound of each day from then on.
    pub daily: Nanos,
}

/// What is replayed, beside the log and the market.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Makes values and prices.
    pub strategy: &'a Strategy,
    /// The campaign's terms; the click probability comes from the log.
    pub terms: ValueInput,
    /// Budget of each UTC day.
    pub daily: Nanos,
    /// Later budgets, in the order of time.
    pub edits: Vec<Edit>,
    /// Milliseconds between two ticks; the served engine's are a second apart.
    pub tick_ms: i64,
    /// How long holds last without news.
    pub windows: Windows,
    /// The plan that smoothness is measured against.
    pub plan: Shape,
    /// Points of the series.
    pub points: usize,
}

impl<'a> Setup<'a> {
    /// Ticks of a second, holds of an hour, an even plan and 480 points.
    #[must_use]
    pub fn new(strategy: &'a Strategy, terms: ValueInput, daily: Nanos) -> Self {
        let windows = Windows { decision_ttl_ms: 3_600_000, billing_window_ms: 3_600_000 };
        let (plan, edits) = (Shape::even(), Vec::new());
        Self { strategy, terms, daily, edits, tick_ms: 1_000, windows, plan, points: 480 }
    }
}

/// Replays a log in the order of its times. `pacing` is moved on: the next log may go on with it.
#[must_use]
pub fn replay(
    log: &[Logged],
    market: &Market,
    setup: &Setup<'_>,
    pacing: &mut CampaignPacing,
) -> Report {
    let (Some(first), Some(last)) = (log.first(), log.last()) else { return Report::default() };
    let mut run = Run::new(first.at, last.at, market, setup, pacing);
    for (number, auction) in log.iter().enumerate() {
        run.advance(auction.at);
        run.auction(number, auction);
    }
    run.finish()
}

/// Where all auctions of a log stand in the market: logs name neither exchange nor size.
fn place(at: Timestamp) -> Place {
    Place { exchange: 0, currency: CurrencyCode::USD, size: SizeClass::default(), at }
}

/// What is on its way.
#[derive(Clone, Copy, Debug)]
enum Coming {
    Billed { held: Held, paid: Micros, p_click: f32 },
    Lost(Held),
    Told(Observation),
    Converted { touched_at: Timestamp, value: Nanos },
}

struct Run<'a> {
    market: &'a Market,
    setup: &'a Setup<'a>,
    pacing: &'a mut CampaignPacing,
    local: LocalPacing,
    snapshot: PacingSnapshot,
    books: Books,
    learned: market::Market,
    prices: MarketSnapshot,
    /// By time, and where that is the same in the order in which it was sent.
    coming: BTreeMap<(Timestamp, u64), Coming>,
    sent: u64,
    edits: usize,
    daily: Nanos,
    day: DayNumber,
    day_starts: Timestamp,
    course: DayCourse,
    days: u32,
    starts: Timestamp,
    length_ms: f64,
    next_tick: Timestamp,
    next_point: Timestamp,
    blocked: u64,
    report: Report,
}

impl<'a> Run<'a> {
    fn new(
        first: Timestamp,
        last: Timestamp,
        market: &'a Market,
        setup: &'a Setup<'a>,
        pacing: &'a mut CampaignPacing,
    ) -> Self {
        let day = first.utc_day();
        let starts = Timestamp(i64::from(day) * DAY_MS);
        // The whole of the last day, whether the log fills it or not.
        let ends = Timestamp((i64::from(last.utc_day()) + 1) * DAY_MS);
        let mut run = Self {
            market,
            setup,
            pacing,
            local: LocalPacing::new(0),
            snapshot: PacingSnapshot::default(),
            books: Books::new(setup.windows, setup.terms.max_cpm),
            learned: market::Market::default(),
            prices: MarketSnapshot::default(),
            coming: BTreeMap::new(),
            sent: 0,
            edits: 0,
            daily: setup.daily,
            day: DayNumber(day),
            day_starts: starts,
            course: DayCourse::default(),
            days: 0,
            starts,
            length_ms: ends.millis_since(starts) as f64,
            next_tick: starts,
            next_point: starts,
            blocked: 0,
            report: Report::default(),
        };
        run.books.set_budget(run.day, run.daily, starts);
        run.books.turn(run.day, starts.plus_millis(DAY_MS), run.daily, starts);
        run
    }

    /// Everything that is due up to and including `now`, in the order of time.
    fn advance(&mut self, now: Timestamp) {
        while self.next_tick <= now {
            let at = self.next_tick;
            self.deliver(at);
            self.tick(at);
            self.next_tick = at.plus_millis(self.setup.tick_ms.max(1));
        }
        self.deliver(now);
    }

    fn deliver(&mut self, upto: Timestamp) {
        while let Some(first) = self.coming.first_entry().filter(|first| first.key().0 <= upto) {
            let at = first.key().0;
            match first.remove() {
                Coming::Billed { held, paid, p_click } => {
                    self.local.on_show(SLOT, p_click);
                    self.books.settle(&held, paid, at);
                }
                Coming::Lost(held) => self.books.release(&held),
                Coming::Told(observation) => _ = self.learned.observe(&observation),
                Coming::Converted { touched_at, value } => {
                    self.pacing.convert(at, touched_at, value);
                }
            }
        }
    }

    fn tick(&mut self, now: Timestamp) {
        while now >= self.day_starts.plus_millis(DAY_MS) {
            self.end_day();
        }
        while let Some(edit) = self.setup.edits.get(self.edits).filter(|edit| edit.at <= now) {
            self.edits += 1;
            self.daily = edit.daily;
            self.course.floor = self.course.due;
            self.books.set_budget(self.day, edit.daily, now);
        }
        self.pass(now);
        let tied = self.books.tied();
        for entry in &self.local.report(|_| tied).entries {
            self.pacing.fold(0, entry);
        }
        if let Some((billed, unbilled)) = self.books.standing() {
            self.pacing.tick(&TickInput { now, day: self.day_span(), billed, unbilled });
        }
        self.snapshot.epoch += 1;
        self.snapshot.folded = vec![(0, self.local.number())];
        self.snapshot.paces = vec![self.pacing.pace(SLOT.generation)];
        self.books.tick(now);
        if self.is_shaded() {
            self.prices = self.learned.snapshot(self.snapshot.epoch);
        }
        if now >= self.next_point {
            self.point(now);
        }
    }

    fn day_span(&self) -> DaySpan {
        let ends = self.day_starts.plus_millis(DAY_MS);
        DaySpan { starts: self.day_starts, ends, weekday: self.day.weekday() }
    }

    fn auction(&mut self, number: usize, auction: &Logged) {
        self.report.auctions += 1;
        let pace = self.local.pace(SLOT, &self.snapshot);
        let terms = ValueInput { p_click: auction.p_click, ..self.setup.terms };
        let multiplier = f64::from(pace.multiplier());
        let (place, mut price) = (place(auction.at), self.setup.strategy.price(&terms, multiplier));
        if self.is_shaded() {
            let paced = self.setup.strategy.paced(&terms, multiplier);
            let seed = mix(number as u64);
            price = price.min(self.prices.shade(&place, paced, Micros::ZERO, seed).price);
        }
        let held = if price > Micros::ZERO { self.books.hold(price, auction.at) } else { None };
        self.local.on_auction(SLOT, held.map(|held| held.price));
        let Some(held) = held else {
            let unspent = self.daily.0 - self.course.due;
            self.blocked += u64::from(price > Micros::ZERO && unspent * 1_000 >= self.daily.0);
            return;
        };
        self.report.bids += 1;
        let paid = self.market.settle(auction, held.price);
        if let Some(paid) = paid {
            self.win(number, auction, paid);
        }
        let notice = match paid {
            Some(paid) => Coming::Billed { held, paid, p_click: auction.p_click as f32 },
            None => Coming::Lost(held),
        };
        if let Some(after) = self.market.notice_after(number, paid.is_some()) {
            let at = auction.at.plus_millis(after);
            self.send(at, notice);
            let min_to_win = self.market.tells_price.then_some(auction.market);
            let (bid, is_won) = (held.price, paid.is_some());
            if self.is_shaded() {
                self.send(at, Coming::Told(Observation { place, bid, is_won, min_to_win }));
            }
        }
        self.deliver(auction.at);
    }

    fn is_shaded(&self) -> bool {
        self.market.pays == PriceRule::First && self.setup.strategy.shading() == Shading::Auto
    }

    fn win(&mut self, number: usize, auction: &Logged, paid: Micros) {
        self.report.impressions += 1;
        self.report.clicks += u64::from(auction.is_click);
        self.report.value += auction.p_click;
        self.report.cost_nanos += paid.per_impression().0;
        self.course.due += paid.per_impression().0;
        let over = self.course.over(self.daily.0);
        self.report.overspend_nanos = self.report.overspend_nanos.max(over);
        let part = auction.at.millis_since(self.starts) as f64 / self.length_ms;
        if let Some((after, value)) = self.market.converts_after(number, auction, part) {
            self.report.conversions += 1;
            self.report.conversions_value_micros += value.0;
            let at = auction.at.plus_millis(after);
            let value = Nanos::from_micros(value.0);
            self.send(at, Coming::Converted { touched_at: auction.at, value });
        }
    }

    fn send(&mut self, at: Timestamp, what: Coming) {
        self.sent += 1;
        self.coming.insert((at, self.sent), what);
    }

    /// The day's course up to `now`.
    fn pass(&mut self, now: Timestamp) {
        let part = now.millis_since(self.day_starts) as f64 / DAY_MS as f64;
        let plan = &self.setup.plan;
        self.course.pass(part, self.daily.0, |part| plan.before(part));
    }

    fn end_day(&mut self) {
        let ends = self.day_starts.plus_millis(DAY_MS);
        self.pass(ends);
        let (smoothness, out_at) = self.course.end();
        self.report.budget_nanos += self.daily.0;
        self.report.smoothness += smoothness;
        self.report.early_out += out_at;
        self.days += 1;
        self.course = DayCourse::default();
        self.day_starts = ends;
        self.day = DayNumber(ends.utc_day());
        self.books.turn(self.day, ends.plus_millis(DAY_MS), self.daily, ends);
    }

    fn point(&mut self, now: Timestamp) {
        let status = self.pacing.status();
        self.report.series.push(Point {
            at: now,
            spent_share: self.course.due as f64 / (self.daily.0 as f64).max(1.0),
            ln_budget: status.ln_budget,
            ln_target: status.ln_cpa,
            auctions: self.report.auctions,
            impressions: self.report.impressions,
            cost_nanos: self.report.cost_nanos,
            conversions: self.report.conversions,
            conversions_value_micros: self.report.conversions_value_micros,
        });
        let step = (self.length_ms / self.setup.points.max(1) as f64) as i64;
        self.next_point = self.next_point.plus_millis(step.max(1));
    }

    /// To the end of the last day, and until nothing is on its way.
    fn finish(mut self) -> Report {
        let ends = self.starts.plus_millis(self.length_ms as i64);
        self.advance(ends);
        if self.day_starts < ends {
            self.end_day();
        }
        self.deliver(Timestamp(i64::MAX));
        let days = f64::from(self.days.max(1));
        self.report.smoothness /= days;
        self.report.early_out /= days;
        self.report.blocked_share = self.blocked as f64 / self.report.auctions.max(1) as f64;
        self.report.absorbed_nanos = self.books.absorbed().0;
        self.report.is_sound = self.books.is_sound();
        self.report.finish();
        self.report
    }
}
