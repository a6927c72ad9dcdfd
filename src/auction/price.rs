//! From click probability to a bid: value, pacing, cap, currency, floor.

use crate::auction::decide::Scored;
use crate::auction::input::AuctionInput;
use crate::auction::world::{Seated, World};
use crate::catalog::{BidTerms, CampaignRow};
use crate::hash;
use crate::prediction::sigmoid;
use crate::rates::Rate;
use crate::strategy::{Factors, LnWorth, Objective, Shading, Strategy, ValueInput};
use crate::units::Micros;

/// The price of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priced {
    /// It bids this, in the currency of the answer.
    Bid(Micros),
    /// What it would bid stays below its floor.
    BelowFloor(Micros),
    /// Its currency, or its strategy, is not known.
    Unpriced,
}

/// What is predicted of showing an ad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// Logit of the click probability.
    pub logit: f32,
    /// Conversions of a million clicks.
    pub conversions_ppm: u32,
}

/// What all ads of a campaign are priced by in one auction.
pub struct Terms<'w> {
    strategy: &'w Strategy,
    input: ValueInput,
    multiplier: f64,
    rate: Rate,
}

impl<'w> Terms<'w> {
    /// The terms of a campaign under a pacing multiplier; `None` where its strategy or the rate of its currency is unknown.
    pub fn of(
        world: &'w World,
        input: &AuctionInput,
        (row, seated): (&CampaignRow, Seated),
        multiplier: f64,
    ) -> Option<Self> {
        let strategy = world.strategy_of(seated)?;
        Some(Self {
            strategy,
            input: value_input(world, row, strategy),
            multiplier,
            rate: world.rates.rate(input.currency, row.currency)?,
        })
    }

    /// Value x pacing multiplier, capped, in the currency of the answer (rounded down: never more
    /// than the advertiser's terms), held against the floor.
    pub fn price(&self, scored: &Scored) -> Priced {
        let paced = self.strategy.price(&self.input_of(scored.promise()), self.multiplier);
        match self.rate.largest_within(paced) {
            None => Priced::Unpriced,
            Some(price) if price.0 == 0 || price < scored.floor => Priced::BelowFloor(price),
            Some(_) if scored.is_fixed && scored.floor.0 > 0 => Priced::Bid(scored.floor),
            Some(price) => Priced::Bid(price),
        }
    }

    /// What a bid of this price is shaded from: the same without the caps, which bound what is bid and
    /// not what it is made of. The price itself where nothing is shaded.
    pub fn paced(&self, scored: &Scored, price: Micros) -> Micros {
        if self.strategy.shading() == Shading::None {
            return price;
        }
        let paced = self.strategy.paced(&self.input_of(scored.promise()), self.multiplier);
        self.rate.largest_within(paced).unwrap_or(price)
    }

    /// What ranks a candidate of this price: the price; where a deal fixes it, what it would have been;
    /// past every price, where deals go first.
    pub fn rank(&self, scored: &Scored, price: Micros) -> f64 {
        let paced = if scored.is_fixed {
            let input = self.input_of(scored.promise());
            self.rate.largest_within(self.strategy.price(&input, self.multiplier))
        } else {
            None
        };
        let rank = paced.unwrap_or(price).0 as f64;
        if scored.is_preferred { rank * PREFERRED } else { rank }
    }

    /// What the strategy finds an impression worth before pacing, in the account's currency.
    pub fn value(&self, promise: Promise) -> Micros {
        self.strategy.value(&self.input_of(promise))
    }

    /// The strategy's arithmetic, step by step.
    pub fn factors(&self, promise: Promise) -> Factors {
        self.strategy.factors(&self.input_of(promise), self.multiplier)
    }

    /// What pacing leaves of the value.
    pub const fn multiplier(&self) -> f64 {
        self.multiplier
    }

    fn input_of(&self, Promise { logit, conversions_ppm }: Promise) -> ValueInput {
        let p_click = f64::from(sigmoid(logit));
        ValueInput { p_click, expected_cvr_ppm: conversions_ppm, ..self.input }
    }
}

/// Past what any price can be: the least preferred bid, of one micro, ranks above the largest `u64`.
const PREFERRED: f64 = 1e20;

/// No price of a campaign whose ads score at most `logit` is above `exp` of this, in CPM micros of the
/// account's currency: a few additions in place of two exponentials an ad. Floors can only lower a
/// price.
#[inline]
pub fn ln_bound(worth: LnWorth, logit: f32, ln_multiplier: f32) -> f32 {
    // ln(sigmoid(x)) is below both x and 0.
    let ln_p_click = if logit < 0.0 { logit } else { 0.0 };
    worth.price(ln_p_click, ln_multiplier) + BOUND_SLACK
}

/// More than the rounding of the few 32-bit sums in a bound: a thousandth of a price.
const BOUND_SLACK: f32 = 1e-3;

/// What a strategy is told, but for the click probability. The average, a look-up of its own, is
/// given only where the objective reads it and does not fix it.
fn value_input(world: &World, row: &CampaignRow, strategy: &Strategy) -> ValueInput {
    let average = match strategy.objective() {
        Objective::Linear { average_p_click: None, .. } => {
            world.releases.campaign_prior(row.id).rate
        }
        _ => 0.0,
    };
    input_of_terms(&row.bid, average)
}

/// A campaign's terms as a strategy reads them; the click probability is to be filled in.
pub fn input_of_terms(bid: &BidTerms, average_p_click: f32) -> ValueInput {
    ValueInput {
        p_click: 0.0,
        average_p_click: f64::from(average_p_click),
        max_cpm: bid.max_cpm,
        cpc_micros: bid.cpc,
        target_cpa_micros: bid.target_cpa,
        expected_cvr_ppm: bid.expected_cvr_ppm,
        order_value_micros: bid.expected_order_value,
        target_roas_ppm: bid.target_roas_ppm,
    }
}

/// A rank that is random over ads and requests, and the same for the same request.
pub fn random_rank(seed: u64, scored: &Scored) -> f64 {
    let place = u64::from(scored.ad) << 8 | u64::from(scored.imp);
    hash::combine(seed, place) as f64
}
