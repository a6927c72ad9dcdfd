//! Click rates and conversion rates from releases, aware of their noise.
//!
//! A released count is the truth plus noise of known variance, so `clicks / impressions` of two
//! releases can be anything, negative included. Each level (all, campaign, cell) is instead shrunk
//! towards the level above by the best linear predictor. With released clicks `C`, impressions `I`,
//! their noise variances, and the parent's rate `p`: `D = C - p I` has the mean `(rate - p) n` and
//! the variance `V = var C + p^2 var I + p n` (the last term is the clicks' own chance), where `n` is
//! the true count of impressions. A rate that scatters around `p` with standard deviation `t` has
//! `rate = p + t^2 n D / (t^2 n^2 + V)` as its best linear estimate: no division by a noisy count,
//! and with little evidence, or much noise, it is `p`. For the unknown `n` stands
//! `I * I^2 / (I^2 + var I)` (0 for negative `I`), which is `I` where the noise is small beside it
//! and vanishes where it is not.
//!
//! Conversions of clicks are taken for clicks of impressions in all of this, and what the campaign
//! declares stands for the rate of all.
//!
//! Everything here is post-processing of released numbers, hence free of further cost, in floats.

use super::cell::{CONTEXT_BUCKETS, ContextBucket, KINDS, Kind};
use super::segments::SegmentSizes;
use crate::units::{CampaignId, Timestamp};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// How far rates scatter around the level above, relative to its rate: a market around the base
/// rate, campaigns around the market, contexts around their campaign.
const SPREAD_GLOBAL: f64 = 3.0;
const SPREAD_CAMPAIGN: f64 = 1.0;
const SPREAD_CELL: f64 = 0.5;
/// Click rates are kept in here, so that no logit is extreme.
const CLICK_RATE_RANGE: (f64, f64) = (1e-5, 0.5);
/// Conversion rates are told in millionths.
const CONVERSION_RATE_RANGE: (f64, f64) = (1e-6, 1.0);
/// A level's rate is at least this part of its parent's: a linear estimate can pass zero, a rate
/// cannot, and the level below scales its spread by it.
const PARENT_PART_MIN: f64 = 0.125;

/// A released sum and the variance of its noise; both decay as time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The noised sum; may be negative.
    pub value: f64,
    /// Variance of the noise in it.
    pub variance: f64,
}

/// Standard deviations within which 95 % of a normal distribution lie. Released noise is a sum of
/// discrete Gaussians, whose tails are no heavier.
const Z_95: f64 = 1.96;

impl Estimate {
    /// Bounds within which the true sum lies in 19 cases of 20. They may be negative, as noise is.
    #[must_use]
    pub fn interval_95(self) -> [f64; 2] {
        let margin = Z_95 * self.variance.sqrt();
        [self.value - margin, self.value + margin]
    }

    /// The sum of two estimates with independent noise.
    pub(super) fn plus(self, other: Self) -> Self {
        Self { value: self.value + other.value, variance: self.variance + other.variance }
    }

    /// The estimate scaled by `factor`.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, variance: self.variance * factor * factor }
    }
}

/// What releases say of one cell, by kind.
pub type CellSums = [Estimate; KINDS];
/// What releases say of one campaign, by context.
pub type CampaignSums = [CellSums; CONTEXT_BUCKETS];

/// What is believed of the click rate of a campaign in a context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Log odds of the rate, what a model adds up. Between -11.6 and 0.
    pub logit: f32,
    /// The rate itself, 1e-5 to 0.5.
    pub rate: f32,
    /// How much of the cell's own deviation was believed: 0 (all from above) to 1 (all its own).
    pub weight: f32,
}

impl Prior {
    fn of(rate: f64, weight: f64) -> Self {
        Self { logit: (rate / (1.0 - rate)).ln() as f32, rate: rate as f32, weight: weight as f32 }
    }
}

/// One published snapshot of everything released so far. The bid path reads a table made
/// of it, see [`PriorLogits`].
#[derive(Clone, Debug)]
pub struct Releases {
    epoch: u64,
    at: Timestamp,
    unknown: Prior,
    /// The UTC day that was released last, since 1970.
    day: i32,
    /// What a unit of spend is worth, in nanos.
    spend_unit_nanos: u64,
    campaigns: FxHashMap<CampaignId, Row>,
    segments: Option<Arc<SegmentSizes>>,
}

/// The logits of one campaign's priors, by context: one cache line, for whoever reads a few at each
/// of many requests and so keeps them in a table of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub struct PriorLogits([f32; CONTEXT_BUCKETS]);

const _: () = assert!(size_of::<PriorLogits>() == 64);

/// What no logit of one campaign's priors is above, by context: a byte each, for whoever only wants to
/// know whether it could matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorBounds([u8; CONTEXT_BUCKETS]);

/// Steps of a bound in a unit of logits. A bound is at most one of them above its prior.
const BOUND_STEPS: f32 = 20.0;
/// The lowest bound. Priors lie between -11.6 and 0, which takes 240 steps.
const BOUND_MIN: f32 = -12.0;
/// In place of a step: nothing is known of the prior.
const UNBOUNDED: u8 = u8::MAX;

impl PriorBounds {
    /// Above any prior there is.
    pub const NONE: Self = Self([UNBOUNDED; CONTEXT_BUCKETS]);

    /// The bound in `bucket`.
    #[inline]
    #[must_use]
    pub fn in_bucket(&self, bucket: ContextBucket) -> f32 {
        match self.0[bucket.index()] {
            UNBOUNDED => f32::INFINITY,
            // The reciprocal's rounding is far less than the hundredth of a step in hand.
            steps => BOUND_MIN + f32::from(steps) * (1.0 / BOUND_STEPS),
        }
    }
}

impl PriorLogits {
    /// The logit of [`Releases::prior`] in `bucket`.
    #[inline]
    #[must_use]
    pub const fn in_bucket(&self, bucket: ContextBucket) -> f32 {
        self.0[bucket.index()]
    }

    /// What bounds them.
    #[must_use]
    pub fn bounds(&self) -> PriorBounds {
        // The hundredth is more than rounding.
        PriorBounds(self.0.map(|logit| ((logit - BOUND_MIN) * BOUND_STEPS + 0.01).ceil() as u8))
    }
}

/// Conversions of a million clicks of one campaign, by context: one cache line, as [`PriorLogits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub struct ConversionRates([u32; CONTEXT_BUCKETS]);

const _: () = assert!(size_of::<ConversionRates>() == 64);

impl ConversionRates {
    /// Of a million clicks in `bucket`; 0 where the campaign declares none.
    #[inline]
    #[must_use]
    pub const fn ppm_in(&self, bucket: ContextBucket) -> u32 {
        self.0[bucket.index()]
    }
}

#[derive(Clone, Debug)]
struct Row {
    own: Prior,
    priors: [Prior; CONTEXT_BUCKETS],
    sums: CampaignSums,
    today: CellSums,
}

impl Releases {
    /// Before the first release: one prior for all, the click rate `base`.
    #[must_use]
    pub fn none(base: f64) -> Self {
        Self {
            epoch: 0,
            at: Timestamp::default(),
            unknown: Prior::of(base, 0.0),
            day: 0,
            spend_unit_nanos: 1,
            campaigns: FxHashMap::default(),
            segments: None,
        }
    }

    /// The snapshot of these released sums.
    pub fn of<'a>(
        base: f64,
        epoch: u64,
        at: Timestamp,
        sums: impl Iterator<Item = (CampaignId, &'a CampaignSums)> + Clone,
    ) -> Self {
        let total = sum_of(sums.clone().flat_map(|(_, cells)| cells));
        let (global, _) = CLICKS.shrink(&total, base, SPREAD_GLOBAL);
        let campaigns = sums
            .map(|(campaign, cells)| {
                let own = sum_of(cells.iter());
                let (rate, own_weight) = CLICKS.shrink(&own, global, SPREAD_CAMPAIGN);
                let priors = cells.map(|cell| {
                    let (rate, weight) = CLICKS.shrink(&cell, rate, SPREAD_CELL);
                    Prior::of(rate, weight)
                });
                let (own, sums) = (Prior::of(rate, own_weight), *cells);
                (campaign, Row { own, priors, sums, today: CellSums::default() })
            })
            .collect();
        let unknown = Prior::of(global, 0.0);
        Self { epoch, at, unknown, day: 0, spend_unit_nanos: 1, campaigns, segments: None }
    }

    /// The same with what was released of the UTC day `day` so far, not decayed, over all contexts of
    /// each campaign.
    pub(super) fn with_today(
        mut self,
        day: i32,
        today: impl Iterator<Item = (CampaignId, CellSums)>,
    ) -> Self {
        self.day = day;
        for (campaign, sums) in today {
            if let Some(row) = self.campaigns.get_mut(&campaign) {
                row.today = sums;
            }
        }
        self
    }

    /// The same, where a unit of spend is worth so much.
    pub(super) const fn with_spend_unit(mut self, nanos: u64) -> Self {
        self.spend_unit_nanos = nanos;
        self
    }

    /// What a unit of released spend is worth, in nanos of the account's currency: as the day was
    /// charged from which the sums are, whatever is configured since.
    #[must_use]
    pub const fn spend_unit_nanos(&self) -> u64 {
        self.spend_unit_nanos
    }

    /// The same with these sizes of segments.
    pub(super) fn with_segments(mut self, segments: Option<Arc<SegmentSizes>>) -> Self {
        self.segments = segments;
        self
    }

    /// The sizes of segments that were released last, when their day ended; `None` where that was
    /// neither the last released day nor the one before.
    #[must_use]
    pub fn segments(&self) -> Option<&SegmentSizes> {
        self.segments.as_deref()
    }

    /// The UTC day that was released last, since 1970.
    #[must_use]
    pub const fn day(&self) -> i32 {
        self.day
    }

    /// What was released of [`Releases::day`] so far, over all contexts of a campaign; it does not
    /// decay. Of a day that is over it is the whole of it. `None` for a campaign that was never released.
    #[must_use]
    pub fn today(&self, campaign: CampaignId, kind: Kind) -> Option<Estimate> {
        self.campaigns.get(&campaign).map(|row| row.today[kind.index()])
    }

    /// At what rate clicks of `campaign` become conversions over all its contexts, (0, 1], where it
    /// declares `declared_ppm` of a million; 0 where it declares none.
    #[must_use]
    pub fn conversion_rate(&self, campaign: CampaignId, declared_ppm: u32) -> f64 {
        let declared = f64::from(declared_ppm) / 1e6;
        match self.campaigns.get(&campaign) {
            Some(row) if declared_ppm > 0 => {
                CONVERSIONS.shrink(&sum_of(row.sums.iter()), declared, SPREAD_CAMPAIGN).0
            }
            _ => declared,
        }
    }

    /// The same by context.
    #[must_use]
    pub fn conversion_rates(&self, campaign: CampaignId, declared_ppm: u32) -> ConversionRates {
        match self.campaigns.get(&campaign) {
            Some(row) if declared_ppm > 0 => {
                let own = self.conversion_rate(campaign, declared_ppm);
                ConversionRates(row.sums.map(|cell| {
                    let (rate, _) = CONVERSIONS.shrink(&cell, own, SPREAD_CELL);
                    (rate * 1e6).round() as u32
                }))
            }
            _ => ConversionRates([declared_ppm; CONTEXT_BUCKETS]),
        }
    }

    /// Counts publications from 1; 0 before the first.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When it was published.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The click-rate prior of `campaign` in `bucket`; an unknown campaign has everybody's.
    #[must_use]
    pub fn prior(&self, campaign: CampaignId, bucket: ContextBucket) -> Prior {
        self.campaigns.get(&campaign).map_or(self.unknown, |row| row.priors[bucket.index()])
    }

    /// The click-rate prior of `campaign` over all its contexts; an unknown one has everybody's.
    #[must_use]
    pub fn campaign_prior(&self, campaign: CampaignId) -> Prior {
        self.campaigns.get(&campaign).map_or(self.unknown, |row| row.own)
    }

    /// The logits of the campaign's priors in all contexts.
    #[must_use]
    pub fn logits(&self, campaign: CampaignId) -> PriorLogits {
        let row = self.campaigns.get(&campaign);
        PriorLogits(row.map_or([self.unknown.logit; CONTEXT_BUCKETS], |row| {
            row.priors.map(|prior| prior.logit)
        }))
    }

    /// The decayed released sum of one kind over all contexts of a campaign, for reports; `None` for
    /// a campaign that was never released.
    #[must_use]
    pub fn total(&self, campaign: CampaignId, kind: Kind) -> Option<Estimate> {
        let row = self.campaigns.get(&campaign)?;
        Some(sum_of(row.sums.iter())[kind.index()])
    }

    /// The decayed released sum of one cell and kind, for reports; `None` for a campaign that was
    /// never released.
    #[must_use]
    pub fn estimate(
        &self,
        campaign: CampaignId,
        bucket: ContextBucket,
        kind: Kind,
    ) -> Option<Estimate> {
        let row = self.campaigns.get(&campaign)?;
        Some(row.sums[bucket.index()][kind.index()])
    }
}

/// The sum over several cells.
pub(super) fn sum_of<'a>(cells: impl Iterator<Item = &'a CellSums>) -> CellSums {
    cells.fold(CellSums::default(), |mut sum, cell| {
        for (sum, &one) in sum.iter_mut().zip(cell) {
            *sum = sum.plus(one);
        }
        sum
    })
}

/// What becomes of what.
struct Step {
    from: Kind,
    to: Kind,
    range: (f64, f64),
}

const CLICKS: Step = Step { from: Kind::Impression, to: Kind::Click, range: CLICK_RATE_RANGE };
const CONVERSIONS: Step =
    Step { from: Kind::Click, to: Kind::Conversion, range: CONVERSION_RATE_RANGE };

impl Step {
    /// The rate of a level, and the weight of its own evidence in it (the module's formula).
    fn shrink(&self, sums: &CellSums, parent: f64, spread: f64) -> (f64, f64) {
        let (from, to) = (sums[self.from.index()], sums[self.to.index()]);
        let squared = from.value.max(0.0).powi(2);
        let count = from.value * squared / (squared + from.variance);
        // Also where both are 0 and the quotient is no number.
        let is_evidence = count > 0.0;
        if !is_evidence {
            return (parent, 0.0);
        }
        let deviation = to.value - parent * from.value;
        let noise = to.variance + parent * parent * from.variance + parent * count;
        let scatter = (spread * parent).powi(2);
        let gain = scatter * count / (scatter * count * count + noise);
        let rate = parent + gain * deviation;
        let (least, most) = self.range;
        (rate.clamp((parent * PARENT_PART_MIN).max(least), most), gain * count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::BASE_RATE;
    use super::*;
    use proptest::prelude::*;

    fn cell(impressions: f64, impressions_var: f64, clicks: f64, clicks_var: f64) -> CellSums {
        let estimate = |value, variance| Estimate { value, variance };
        let [none, impressions, clicks] = [
            Estimate::default(),
            estimate(impressions, impressions_var),
            estimate(clicks, clicks_var),
        ];
        [impressions, clicks, none, none]
    }

    #[test]
    fn evidence_moves_a_rate_and_noise_does_not() {
        // (impressions, variance, clicks, variance) -> the range that the rate must fall in.
        for (sums, low, high) in [
            (cell(1e6, 4e3, 2e4, 240.0), 0.0199, 0.0201), // ample evidence of 2 %
            (cell(0.0, 4e3, 0.0, 240.0), 0.01, 0.01),     // nothing: the parent's rate
            (cell(-300.0, 9e4, 40.0, 240.0), 0.01, 0.01), // negative impressions
            (cell(1e6, 4e3, -50.0, 240.0), 0.00125, 0.00125), // negative clicks, ample impressions
            (cell(100.0, 9e4, 45.0, 240.0), 0.0099, 0.0103), // three sigma of noise on no evidence
            (cell(300.0, 9e4, 45.0, 240.0), 0.0099, 0.013), // the same at one sigma of impressions
        ] {
            let (rate, weight) = CLICKS.shrink(&sums, 0.01, 1.0);
            assert!((low..=high).contains(&rate), "{sums:?} -> {rate}");
            assert!((0.0..=1.0).contains(&weight), "{sums:?} -> {weight}");
        }
    }

    #[test]
    fn shrinking_beats_the_naive_quotient_on_noisy_releases() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        // Twelve uniforms: a standard normal, near enough for a comparison of errors.
        let mut normal = move || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let (mut ours, mut naive) = (0.0, 0.0);
        for _ in 0..2_000 {
            let rate = (0.01 * (1.0 + 0.5 * normal())).max(1e-4);
            let shown = 2_000.0;
            let clicks = shown * rate + (shown * rate).sqrt() * normal();
            let sums = cell(shown + 300.0 * normal(), 9e4, clicks + 15.0 * normal(), 225.0);
            let quotient =
                (sums[1].value / sums[0].value).clamp(CLICK_RATE_RANGE.0, CLICK_RATE_RANGE.1);
            naive += (quotient - rate).powi(2);
            ours += (CLICKS.shrink(&sums, 0.01, 0.5).0 - rate).powi(2);
        }
        assert!(ours < 0.4 * naive, "squared error {ours} against {naive}");
    }

    proptest! {
        #[test]
        fn no_prior_is_above_its_bound_nor_far_below(logit in -13f32..2.0) {
            let logits = PriorLogits([logit; CONTEXT_BUCKETS]);
            let bound = logits.bounds().in_bucket(ContextBucket::default());
            prop_assert!(bound >= logit, "{bound}");
            let is_near = bound - logit.max(BOUND_MIN) <= 1.0 / BOUND_STEPS + 0.001;
            prop_assert!(is_near || (bound.is_infinite() && logit > 0.7), "{bound}");
        }
    }

    #[test]
    fn conversion_rates_move_from_the_declared_one_as_far_as_releases_tell() {
        let of = |bucket: usize, clicks: f64, conversions: f64, variance: f64| {
            let estimate = |value| Estimate { value, variance };
            let mut sums = CampaignSums::default();
            sums[bucket][Kind::Click.index()] = estimate(clicks);
            sums[bucket][Kind::Conversion.index()] = estimate(conversions);
            Releases::of(BASE_RATE, 1, Timestamp(0), std::iter::once((CampaignId(1), &sums)))
        };
        let bucket = |index| ContextBucket::from_index(index).unwrap();
        // (clicks, conversions, variance) -> the range of the campaign's rate, of 0.2 declared.
        for (clicks, conversions, variance, low, high) in [
            (5_000.0, 500.0, 100.0, 0.099, 0.102),
            (5_000.0, 4_500.0, 100.0, 0.88, 0.901),
            (5_000.0, 9_000.0, 100.0, 1.0, 1.0), // several orders a click
            (5_000.0, -90.0, 100.0, 0.025, 0.025),
            (50.0, 50.0, 1e6, 0.199, 0.202),
            (-50.0, 50.0, 100.0, 0.2, 0.2),
            (0.0, 0.0, 0.0, 0.2, 0.2),
        ] {
            let releases = of(3, clicks, conversions, variance);
            let rate = releases.conversion_rate(CampaignId(1), 200_000);
            assert!((low..=high).contains(&rate), "{clicks} {conversions} {variance}: {rate}");
            let rates = releases.conversion_rates(CampaignId(1), 200_000);
            assert_eq!(rates.ppm_in(bucket(4)), (rate * 1e6).round() as u32, "no evidence there");
        }
        let releases = of(3, 5_000.0, 500.0, 100.0);
        let rates = releases.conversion_rates(CampaignId(1), 200_000);
        assert!(rates.ppm_in(bucket(3)).abs_diff(100_000) < 500, "{rates:?}");
        assert_eq!(releases.conversion_rate(CampaignId(1), 0), 0.0, "it declares none");
        assert_eq!(releases.conversion_rates(CampaignId(1), 0).ppm_in(bucket(3)), 0);
        assert_eq!(releases.conversion_rates(CampaignId(2), 70_000).ppm_in(bucket(3)), 70_000);
    }

    proptest! {
        #[test]
        fn any_release_gives_a_usable_prior(
            counts in prop::collection::vec((-1e9f64..1e9, 0f64..1e9, -1e9f64..1e9, 0f64..1e9), 16),
        ) {
            let mut sums = CampaignSums::default();
            for (cell_sums, (shown, shown_var, clicks, clicks_var)) in sums.iter_mut().zip(counts) {
                *cell_sums = cell(shown, shown_var, clicks, clicks_var);
            }
            let id = CampaignId(1);
            let releases = Releases::of(BASE_RATE, 1, Timestamp(0), std::iter::once((id, &sums)));
            for index in 0..16 {
                let bucket = ContextBucket::from_index(index).unwrap();
                let prior = releases.prior(id, bucket);
                prop_assert!((0.99e-5..=0.5).contains(&prior.rate), "{:?}", prior);
                prop_assert!((-11.6..=0.0).contains(&prior.logit), "{:?}", prior);
            }
        }
    }
}
