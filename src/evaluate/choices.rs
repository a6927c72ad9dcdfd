//! What privacy costs: the value of the ads that are chosen by released counts, against an oracle.
//!
//! A world of 250 ads in 16 contexts (4,000 cells, one for each cell of the releases) whose click
//! rates scatter around 1 %. For a day, ads are shown at random; impressions and clicks are counted
//! tick by tick through the engine's own continual mechanism, with real noise. Then auctions between
//! ten ads drawn at random are decided by click rates estimated in two ways: by the engine's
//! shrinkage, which knows the noise ([`Releases`]), and by the naive quotient of two released counts.
//! What an auction yields is the true click rate of its winner; the oracle takes the best.
//!
//! It is one made-up world without feedback or earlier days, and its ads are alike but for their rate.

use crate::privacy::{
    CONTEXT_BUCKETS, CampaignSums, ContextBucket, Continual, Error, Estimate, Kind, NoiseSource,
    RawStream, ReleasedStream, Releases, Rho, Scale,
};
use crate::units::{CampaignId, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Ads of the world.
const ADS: usize = 250;
/// Ads in one auction.
const ELIGIBLE: usize = 10;
/// Auctions that are decided.
const AUCTIONS: usize = 20_000;
/// The mean click rate, and what is believed before any release.
const BASE_RATE: f64 = 0.01;
/// Deviations of the logarithm of a rate: over ads, over contexts, over their pairs.
const DEVIATIONS: [f64; 3] = [0.7, 0.3, 0.4];
/// Deviation of the logarithm of an ad's and of a context's share of impressions.
const SHARE_DEVIATION: f64 = 0.5;
/// `S^2` of impressions and clicks: `c = 5, B = 12` and `c = 1, B = 3`.
const SENSITIVITIES: [u64; 2] = [60, 3];
/// Percent of the day's rho for impressions and clicks: by relative error, see `docs/privacy.md`.
const SHARES: [u8; 2] = [7, 93];
/// Delta of a user-day.
const DELTA: f64 = 1e-6;

/// One experiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChoiceSetting {
    /// Impressions of the day, over all cells.
    pub impressions: u64,
    /// Epsilon of a user-day at delta 1e-6; `None` counts without noise.
    pub epsilon: Option<f64>,
    /// Releases of the day, 1 to 4,096.
    pub ticks: usize,
    /// Seed of the world and of what happens in it. The noise has none.
    pub seed: u64,
}

impl ChoiceSetting {
    /// How often an experiment says that it is further.
    pub const STEPS: u64 = ADS as u64;
}

/// The value of chosen ads, as parts of the oracle's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChoiceValue {
    /// By the engine's shrinkage, which knows the noise.
    pub aware: f64,
    /// By the quotient of released clicks and impressions.
    pub naive: f64,
    /// By no counts at all: any of the eligible ads.
    pub none: f64,
}

/// Click rates and shares of impressions, by ad and context.
struct World {
    rates: Vec<[f64; CONTEXT_BUCKETS]>,
    shares: Vec<[f64; CONTEXT_BUCKETS]>,
}

impl World {
    fn new(random: &mut ChaCha8Rng) -> Self {
        let [of_ads, of_contexts, of_pairs] = DEVIATIONS;
        let contexts: [_; CONTEXT_BUCKETS] =
            std::array::from_fn(|_| (of_contexts * normal(random), share(random)));
        let mut world = Self { rates: Vec::new(), shares: Vec::new() };
        for _ in 0..ADS {
            let (own, own_share) = (of_ads * normal(random), share(random));
            world.rates.push(
                contexts
                    .map(|(of_context, _)| (own + of_context + of_pairs * normal(random)).exp()),
            );
            world.shares.push(contexts.map(|(_, share)| own_share * share));
        }
        scale_to_sum(&mut world.shares, 1.0);
        scale_to_sum(&mut world.rates, BASE_RATE * (ADS * CONTEXT_BUCKETS) as f64);
        for rate in world.rates.iter_mut().flatten() {
            *rate = rate.min(0.5);
        }
        world
    }

    /// The parts of the oracle's value that deciding by each of `estimates` yields.
    fn value<const N: usize>(
        &self,
        estimates: [&dyn Fn(usize, usize) -> f64; N],
        random: &mut ChaCha8Rng,
    ) -> [f64; N] {
        let (mut values, mut oracle) = ([0.0; N], 0.0);
        for _ in 0..AUCTIONS {
            let context = self.context(random);
            let ads: [usize; ELIGIBLE] = std::array::from_fn(|_| random.random_range(0..ADS));
            let rate = |ad: usize| self.rates[ad][context];
            oracle += ads.iter().map(|&ad| rate(ad)).fold(0.0, f64::max);
            for (value, estimate) in values.iter_mut().zip(estimates) {
                let best = ads.iter().max_by(|&&one, &&other| {
                    estimate(one, context).total_cmp(&estimate(other, context))
                });
                *value += best.map_or(0.0, |&ad| rate(ad));
            }
        }
        values.map(|value| value / oracle)
    }

    /// A context, as often as it is shown.
    fn context(&self, random: &mut ChaCha8Rng) -> usize {
        let mut left = random.random::<f64>();
        for context in 0..CONTEXT_BUCKETS - 1 {
            left -= self.shares.iter().map(|shares| shares[context]).sum::<f64>();
            if left < 0.0 {
                return context;
            }
        }
        CONTEXT_BUCKETS - 1
    }
}

fn share(random: &mut ChaCha8Rng) -> f64 {
    (SHARE_DEVIATION * normal(random)).exp()
}

fn scale_to_sum(rows: &mut [[f64; CONTEXT_BUCKETS]], sum: f64) {
    let factor = sum / rows.iter().flatten().sum::<f64>();
    rows.iter_mut().flatten().for_each(|value| *value *= factor);
}

/// Box and Muller: a standard normal.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Knuth's product of uniforms; long means in parts, since `exp(-mean)` must not vanish.
fn poisson(mean: f64, random: &mut ChaCha8Rng) -> i64 {
    const PART: f64 = 32.0;
    let mut left = mean;
    let mut count = 0;
    while left > 0.0 {
        let limit = (-left.min(PART)).exp();
        let mut product = random.random::<f64>();
        while product > limit {
            count += 1;
            product *= random.random::<f64>();
        }
        left -= PART;
    }
    count
}

/// How one kind is counted: without noise, or at a scale.
struct Counting<'a> {
    mechanism: &'a Continual,
    sigma: Option<Scale>,
}

impl Counting<'_> {
    /// A day of one cell in which `mean` is expected: its total as it is known at the end.
    fn day(
        &self,
        mean: f64,
        random: &mut ChaCha8Rng,
        noise: &mut NoiseSource,
    ) -> Result<Estimate, Error> {
        let ticks = self.mechanism.steps();
        let counts = (0..ticks).map(|_| poisson(mean / ticks as f64, random));
        let Some(sigma) = self.sigma else {
            return Ok(Estimate { value: counts.sum::<i64>() as f64, variance: 0.0 });
        };
        let mut draws = noise.gaussian(sigma, ticks)?;
        let (mut raw, mut released) = (RawStream::default(), ReleasedStream::default());
        let mut values = Vec::with_capacity(1);
        for count in counts {
            values.clear();
            raw.release(self.mechanism, count, &mut draws, &mut values)?;
            released.push(self.mechanism, &values)?;
        }
        let variance = self.mechanism.variance(ticks, sigma);
        Ok(Estimate { value: released.estimate(self.mechanism), variance })
    }
}

/// Runs one experiment; `done` is told of each ad whose day was counted, [`ChoiceSetting::STEPS`] in all.
///
/// # Errors
/// [`Error::Noise`], and [`Error::Config`] for an epsilon or ticks that no mechanism has.
pub fn choice_value(setting: &ChoiceSetting, mut done: impl FnMut()) -> Result<ChoiceValue, Error> {
    let mut random = ChaCha8Rng::seed_from_u64(setting.seed);
    let world = World::new(&mut random);
    let refused = || Error::Config { key: "epsilon", problem: "no mechanism has it".to_owned() };
    let mechanism = Continual::toeplitz(setting.ticks).ok_or_else(refused)?;
    let mut countings = Vec::with_capacity(2);
    for (sensitivity_squared, percent) in SENSITIVITIES.into_iter().zip(SHARES) {
        let sigma = match setting.epsilon {
            None => None,
            Some(epsilon) => {
                let rho = Rho::within(epsilon, DELTA).percent(percent);
                Some(mechanism.scale(sensitivity_squared, rho).ok_or_else(refused)?)
            }
        };
        countings.push(Counting { mechanism: &mechanism, sigma });
    }
    let mut noise = NoiseSource::exact();
    let mut sums: Vec<(CampaignId, CampaignSums)> = Vec::with_capacity(ADS);
    for ad in 0..ADS {
        let mut cells = CampaignSums::default();
        for (context, cell) in cells.iter_mut().enumerate() {
            let shown = setting.impressions as f64 * world.shares[ad][context];
            let means = [shown, shown * world.rates[ad][context]];
            let kinds = [Kind::Impression, Kind::Click];
            for ((kind, mean), counting) in kinds.into_iter().zip(means).zip(&countings) {
                cell[kind.index()] = counting.day(mean, &mut random, &mut noise)?;
            }
        }
        sums.push((CampaignId(ad as u64), cells));
        done();
    }
    let pairs = sums.iter().map(|(campaign, cells)| (*campaign, cells));
    let releases = Releases::of(BASE_RATE, 1, Timestamp(0), pairs);
    let aware = |ad: usize, context: usize| {
        let bucket = ContextBucket::from_index(context as u8).unwrap_or_default();
        f64::from(releases.prior(CampaignId(ad as u64), bucket).rate)
    };
    let naive = |ad: usize, context: usize| {
        let cell = &sums[ad].1[context];
        let [shown, clicks] = [Kind::Impression, Kind::Click].map(|kind| cell[kind.index()].value);
        if shown >= 1.0 { (clicks / shown).clamp(0.0, 1.0) } else { 0.0 }
    };
    let none = |_: usize, _: usize| 0.0;
    let [aware, naive, none] = world.value([&aware, &naive, &none], &mut random);
    Ok(ChoiceValue { aware, naive, none })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knowing_the_noise_is_worth_more_than_the_counts_themselves_and_no_noise_most() {
        let at = |epsilon| {
            let setting = ChoiceSetting { impressions: 10_000_000, epsilon, ticks: 1, seed: 1 };
            choice_value(&setting, || {}).unwrap()
        };
        // One release a day: the 288 of the table are ten seconds of noise.
        let (private, exact) = (at(Some(1.0)), at(None));
        assert!(private.aware > 0.93 && private.aware < exact.aware, "{private:?} {exact:?}");
        assert!(private.naive < private.aware - 0.01, "{private:?}");
        assert!((0.97..1.0).contains(&exact.aware), "{exact:?}");
        assert!(exact.none < 0.5 && exact.none == private.none, "{private:?} {exact:?}");
    }

    #[test]
    fn what_no_mechanism_has_is_refused() {
        for (epsilon, ticks) in [(Some(0.0), 1), (Some(f64::NAN), 1), (None, 0), (None, 4_097)] {
            let setting = ChoiceSetting { impressions: 1, epsilon, ticks, seed: 1 };
            assert!(choice_value(&setting, || {}).is_err(), "{setting:?}");
        }
    }
}
