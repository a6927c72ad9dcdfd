//! When money is to be spent: in proportion to the traffic that is expected.
//!
//! The rate of eligible auctions is learned for each weekday and quarter of an hour, on the clock of
//! the campaign's day, as an EWMA over weeks. The plan of a day is 0.9 of that forecast and 0.1 of an
//! even one, since a forecast is wrong where something happens; nothing is planned for hours in which
//! the campaign may not bid. With traffic that swings over the day, the same money buys several
//! per cent more than by an even plan (`tests/pacing_reaches_the_optimum.rs`).

use crate::catalog::HourMask;
use crate::units::Timestamp;
use serde::{Deserialize, Serialize};

/// Quarter hours of a day. On the two days of 23 and 25 hours they are as much shorter or longer.
const QUARTERS: usize = 96;
/// Days of a week.
const WEEK: usize = 7;
/// Part of the plan that follows the forecast; the rest is even. With 0.8, a day whose traffic swings
/// by a factor of ten won 0.3 % less value, since a night gets three times its share.
const FORECAST: f64 = 0.9;
/// What a new week counts against those before.
const NEW_WEEK: f64 = 0.5;
/// The level of traffic is smoothed over this part of the day: four hours. A burst is met at the price
/// that the day had, and only then paced as a part of it: with half an hour, a burst of seven times the
/// traffic for 5 % of the day cost 8 % of the value.
const LEVEL: f64 = 1.0 / 6.0;

/// Which plan the budget follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// In proportion to the expected traffic.
    #[default]
    Traffic,
    /// The same at all times.
    Even,
}

/// A day by the campaign's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpan {
    /// Its first instant.
    pub starts: Timestamp,
    /// The first instant of the next.
    pub ends: Timestamp,
    /// 0 for Monday to 6.
    pub weekday: u8,
}

impl DaySpan {
    /// Milliseconds of the day.
    #[must_use]
    pub const fn length_ms(&self) -> f64 {
        let length_ms = self.ends.millis_since(self.starts);
        if length_ms > 0 { length_ms as f64 } else { 1.0 }
    }

    /// The part of the day that has passed, 0 to 1.
    fn part(&self, now: Timestamp) -> f64 {
        (now.millis_since(self.starts) as f64 / self.length_ms()).clamp(0.0, 1.0)
    }
}

/// Auctions in a millisecond by weekday and quarter hour; negative where nothing is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Traffic(Box<[f32]>);

impl Default for Traffic {
    fn default() -> Self {
        Self(vec![-1.0; WEEK * QUARTERS].into())
    }
}

impl Traffic {
    /// Whether it has a rate for each quarter hour of a week: what was read from elsewhere may not.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.0.len() == WEEK * QUARTERS && self.0.iter().all(|rate| rate.is_finite())
    }

    fn learn(&mut self, weekday: usize, quarter: usize, rate: f64) {
        if let Some(known) = self.0.get_mut(weekday * QUARTERS + quarter) {
            let before = f64::from(*known);
            let next = if before < 0.0 { rate } else { before + NEW_WEEK * (rate - before) };
            *known = next as f32;
        }
    }

    /// The rate of a quarter hour: its own, or that of the other weekdays, `None` where none is known.
    fn rate(&self, weekday: usize, quarter: usize) -> Option<f64> {
        let of = |day: usize| self.0.get(day * QUARTERS + quarter).filter(|rate| **rate >= 0.0);
        if let Some(own) = of(weekday) {
            return Some(f64::from(*own));
        }
        let (sum, count) = (0..WEEK)
            .filter_map(of)
            .fold((0.0, 0.0), |(sum, count), rate| (sum + f64::from(*rate), count + 1.0));
        (count > 0.0).then(|| sum / count)
    }

    /// The expected rates of a day, relative to their mean; 1 at all times where nothing is known.
    fn forecast(&self, weekday: usize) -> [f64; QUARTERS] {
        let known: [Option<f64>; QUARTERS] = std::array::from_fn(|q| self.rate(weekday, q));
        let count = known.iter().flatten().count().max(1) as f64;
        let mean = known.iter().flatten().sum::<f64>() / count;
        if mean <= 0.0 {
            return [1.0; QUARTERS];
        }
        // What is not known is taken for the mean.
        known.map(|rate| rate.map_or(1.0, |rate| rate / mean))
    }
}

/// A campaign's plan.
#[derive(Debug)]
pub(super) struct Plan {
    kind: PlanKind,
    hours: Option<HourMask>,
    pub(super) traffic: Traffic,
    /// Auctions since the last tick.
    auctions: f64,
    /// Auctions in a millisecond of average traffic.
    level: f64,
    ticked: Option<Timestamp>,
    today: Today,
    /// The quarter hour that is being counted.
    count: Count,
}

/// The plan of one day: computed once a quarter hour, read at each tick.
#[derive(Debug)]
struct Today {
    span: DaySpan,
    quarter: usize,
    /// Expected traffic relative to its mean, in this quarter hour.
    now: f64,
    /// Share of the day's money for this quarter hour, and for those after it.
    share: f64,
    after: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    auctions: f64,
    ms: f64,
}

impl Plan {
    pub(super) fn new(kind: PlanKind, hours: Option<HourMask>) -> Self {
        let span = DaySpan { starts: Timestamp(0), ends: Timestamp(0), weekday: 0 };
        Self {
            kind,
            hours,
            traffic: Traffic::default(),
            auctions: 0.0,
            level: 0.0,
            ticked: None,
            today: Today { span, quarter: QUARTERS, now: 1.0, share: 0.0, after: 0.0 },
            count: Count::default(),
        }
    }

    /// Auctions that a core reports.
    pub(super) fn fold(&mut self, auctions: u32) {
        self.auctions += f64::from(auctions);
    }

    /// Time has come to `now`, on the day `span`.
    pub(super) fn tick(&mut self, now: Timestamp, span: DaySpan) {
        let elapsed_ms = self.ticked.map_or(0, |before| now.millis_since(before)).max(0) as f64;
        if elapsed_ms > 0.0 {
            self.measure(elapsed_ms);
        }
        self.ticked = Some(now);
        let quarter = ((span.part(now) * QUARTERS as f64) as usize).min(QUARTERS - 1);
        if (span, quarter) != (self.today.span, self.today.quarter) {
            self.turn(span, quarter);
        }
    }

    /// The level of traffic, and the count of this quarter hour.
    fn measure(&mut self, elapsed_ms: f64) {
        let auctions = std::mem::take(&mut self.auctions);
        self.count.auctions += auctions;
        self.count.ms += elapsed_ms;
        // Where no traffic is expected, what comes says nothing of the level.
        if self.today.now > 0.0 {
            let found = auctions / (elapsed_ms * self.today.now);
            let share = elapsed_ms * self.today.now / (LEVEL * self.today.span.length_ms());
            // The first rate stands for itself.
            let share = if self.level == 0.0 { 1.0 } else { share.min(1.0) };
            self.level += share * (found - self.level);
        }
    }

    /// Another quarter hour begins: the one before is learned, if most of it was seen.
    fn turn(&mut self, span: DaySpan, quarter: usize) {
        let count = std::mem::take(&mut self.count);
        let before = &self.today;
        let weekday = usize::from(before.span.weekday) % WEEK;
        let length_ms = before.span.length_ms() / QUARTERS as f64;
        let is_open = self.open(weekday, before.quarter);
        if before.quarter < QUARTERS && is_open && 2.0 * count.ms >= length_ms {
            self.traffic.learn(weekday, before.quarter, count.auctions / count.ms);
        }
        let weekday = usize::from(span.weekday) % WEEK;
        let (traffic, shares) = self.day(weekday);
        let after = shares[quarter + 1..].iter().sum();
        let (now, share) = (traffic[quarter], shares[quarter]);
        self.today = Today { span, quarter, now, share, after };
    }

    /// Expected traffic of a weekday, relative to its mean, and the share of the day's money, by
    /// quarter hour.
    fn day(&self, weekday: usize) -> ([f64; QUARTERS], [f64; QUARTERS]) {
        let forecast = self.traffic.forecast(weekday);
        let open = |q: usize| if self.open(weekday, q) { 1.0 } else { 0.0 };
        let traffic: [f64; QUARTERS] = std::array::from_fn(|q| forecast[q] * open(q));
        let hours = (0..QUARTERS).map(open).sum::<f64>().max(1.0);
        let total = traffic.iter().sum::<f64>();
        let weight = match self.kind {
            PlanKind::Traffic if total > 0.0 => FORECAST,
            PlanKind::Traffic | PlanKind::Even => 0.0,
        };
        let share = |q: usize| {
            weight * traffic[q] / total.max(f64::MIN_POSITIVE) + (1.0 - weight) * open(q) / hours
        };
        (traffic, std::array::from_fn(share))
    }

    fn open(&self, weekday: usize, quarter: usize) -> bool {
        let hour = weekday * 24 + quarter * 24 / QUARTERS;
        self.hours.is_none_or(|hours| hours.has(hour))
    }

    /// In how many milliseconds what remains would be spent at the rate that is planned for now;
    /// infinite in hours that are not planned for.
    pub(super) fn left_ms(&self, now: Timestamp) -> f64 {
        let today = &self.today;
        if today.share <= 0.0 {
            return f64::INFINITY;
        }
        let quarter_ms = today.span.length_ms() / QUARTERS as f64;
        let upto = (today.quarter + 1) as f64 / QUARTERS as f64;
        let rest = ((upto - today.span.part(now)) * QUARTERS as f64).clamp(0.0, 1.0);
        (rest + today.after / today.share) * quarter_ms
    }

    /// Eligible auctions in a millisecond now; 0 while not known.
    pub(super) fn auctions_per_ms(&self) -> f64 {
        self.level * self.today.now
    }

    /// Eligible auctions of a whole day.
    pub(super) fn auctions_per_day(&self) -> f64 {
        self.level * self.today.span.length_ms()
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
