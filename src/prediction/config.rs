//! The learner's settings: one place for every default, refused as a whole when one is wrong.

use super::online;
use super::shadows::Shadows;
use serde::{Deserialize, Serialize};

/// Why the room refused to start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting lies outside its range.
    #[error("prediction.{key} is {value}, but must lie in {range}")]
    OutOfRange {
        /// The setting's name in the configuration.
        key: &'static str,
        /// What was set.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
}

/// How a model's weights learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Linear weights by FTRL-Proximal, all others by AdaGrad.
    Ftrl,
    /// Every weight as a mean with a variance: one step of a diagonal Kalman filter.
    #[default]
    Gaussian,
}

/// How fast a model learns. `Default` is what a new installation runs. Under [`Rule::Gaussian`]
/// the variances count, under [`Rule::Ftrl`] the rates, the constants and the accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// By which rule.
    pub rule: Rule,
    /// FTRL-Proximal's alpha: the linear weights' learning rate, in (0, 10].
    pub linear_rate: f32,
    /// FTRL-Proximal's beta: damps the first steps of a weight, in (0, 100].
    pub linear_beta: f32,
    /// FTRL-Proximal's L1: a weight stays 0 until its gradients add up to more, in [0, 100].
    pub linear_l1: f32,
    /// FTRL-Proximal's L2, in [0, 100].
    pub linear_l2: f32,
    /// AdaGrad's rate for the vectors, in [0, 1]. Above 0.05 it overfits streams of 1e4 examples.
    pub vector_rate: f32,
    /// AdaGrad's first accumulator of a vector's component, in (0, 100].
    pub vector_accumulator: f32,
    /// Vectors start uniform in ±this, in [0, 1]. At 0 the gradient of every pair is 0 for ever,
    /// which leaves logistic regression alone.
    pub vector_init: f32,
    /// What each pair of fields weighs at first, in [0, 1]; 1 is a plain factorisation machine.
    pub field_init: f32,
    /// AdaGrad's rate for the field matrix, in [0, 1].
    pub field_rate: f32,
    /// AdaGrad's rate for the coefficient of the campaign's prior, in [0, 1].
    pub prior_rate: f32,
    /// The first variance of a linear weight, in (0, 10].
    pub linear_variance: f32,
    /// The first variance of a vector's component, in (0, 10].
    pub vector_variance: f32,
    /// The first variance of a pair of fields, in (0, 10].
    pub field_variance: f32,
    /// The first variance of the bias and of dense weights, in (0, 10].
    pub dense_variance: f32,
    /// The first variance of the prior's coefficient, in (0, 10].
    pub prior_variance: f32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            rule: Rule::Gaussian,
            linear_rate: 0.1,
            linear_beta: 1.0,
            linear_l1: 0.0,
            linear_l2: 0.1,
            vector_rate: 0.05,
            vector_accumulator: 0.1,
            vector_init: 0.1,
            field_init: 0.1,
            field_rate: 0.05,
            prior_rate: 0.02,
            linear_variance: 0.05,
            vector_variance: 0.1,
            field_variance: 0.1,
            dense_variance: 1.0,
            prior_variance: 0.01,
        }
    }
}

impl Rates {
    /// Three that no stream we measured leaves without a good one: a cautious one for few examples
    /// of sparse features, one for interactions, one for rare clicks with strong features. The
    /// cautious one serves first.
    #[must_use]
    pub fn shadows() -> [Self; 3] {
        let cautious = Self::default();
        let interactions = Self {
            vector_variance: 0.4,
            vector_init: 0.05,
            field_init: 0.2,
            field_variance: 0.05,
            ..cautious
        };
        let rare = Self {
            linear_variance: 0.6,
            vector_variance: 0.4,
            field_init: 0.2,
            field_variance: 0.3,
            ..cautious
        };
        [cautious, interactions, rare]
    }

    /// FTRL-Proximal and AdaGrad: small first vectors, so that sparse streams of 1e4 examples are
    /// not overfitted.
    #[must_use]
    pub fn ftrl() -> Self {
        Self { rule: Rule::Ftrl, vector_init: 0.05, field_init: 1.0, ..Self::default() }
    }

    /// Checks every rate against the range in its documentation.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] names the first wrong one.
    pub fn validate(&self) -> Result<(), Error> {
        let above = |key, value: f32, range, most: f32| {
            check(key, f64::from(value), range, value > 0.0 && value <= most)
        };
        let within = |key, value: f32, range, most: f32| {
            check(key, f64::from(value), range, value >= 0.0 && value <= most)
        };
        above("linear_rate", self.linear_rate, "(0, 10]", 10.0)?;
        above("linear_beta", self.linear_beta, "(0, 100]", 100.0)?;
        within("linear_l1", self.linear_l1, "[0, 100]", 100.0)?;
        within("linear_l2", self.linear_l2, "[0, 100]", 100.0)?;
        within("vector_rate", self.vector_rate, "[0, 1]", 1.0)?;
        above("vector_accumulator", self.vector_accumulator, "(0, 100]", 100.0)?;
        within("vector_init", self.vector_init, "[0, 1]", 1.0)?;
        within("field_init", self.field_init, "[0, 1]", 1.0)?;
        within("field_rate", self.field_rate, "[0, 1]", 1.0)?;
        within("prior_rate", self.prior_rate, "[0, 1]", 1.0)?;
        above("linear_variance", self.linear_variance, "(0, 10]", 10.0)?;
        above("vector_variance", self.vector_variance, "(0, 10]", 10.0)?;
        above("field_variance", self.field_variance, "(0, 10]", 10.0)?;
        above("dense_variance", self.dense_variance, "(0, 10]", 10.0)?;
        above("prior_variance", self.prior_variance, "(0, 10]", 10.0)
    }
}

/// What a model core is made of, beside its rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FwfmConfig {
    /// Fields of its features, 1 to [`FwfmConfig::FIELDS_MAX`].
    pub fields: usize,
    /// Dense weights, up to 65,536.
    pub dense: usize,
    /// Components of a factor vector: 8 or 16.
    pub dim: u8,
    /// Log2 of the number of linear weights, 10 to 24.
    pub linear_bits: u8,
    /// Log2 of the number of factor vectors, 8 to 22.
    pub vector_bits: u8,
    /// Seeds the vectors' first values.
    pub seed: u64,
    /// The rate of positives assumed before anything was learned, in (0, 1).
    pub base_rate: f64,
    /// The part of all negatives that it will see, in (0, 1]; every positive is seen. It learns among
    /// what it sees, where the logit is higher by `-ln` of this, and predicts among all (He et al.,
    /// "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014, §6.3).
    pub negative_rate: f64,
    /// How often a feature must be seen before it learns; 0 and 1 are at once.
    pub admission: u8,
    /// Hours without learning after which a feature is forgotten; 0 is never.
    pub ttl_hours: u16,
    /// The pairs among the fields from here on keep `r = 1`; `fields` freezes none.
    pub frozen_from: usize,
    /// How fast it learns.
    pub rates: Rates,
}

impl FwfmConfig {
    /// Most fields: the sums of all fields at 16 components are 4 kB of stack.
    pub const FIELDS_MAX: usize = 64;

    /// A model of `fields` fields with `dim` components, and otherwise the defaults of the running
    /// engine: no dense weights, no admission filter, nothing forgotten or frozen.
    #[must_use]
    pub fn new(fields: usize, dim: u8) -> Self {
        let Config { linear_bits, vector_bits, seed, base_rate, .. } = Config::default();
        Self {
            fields,
            dense: 0,
            dim,
            linear_bits,
            vector_bits,
            seed,
            base_rate,
            negative_rate: 1.0,
            admission: 0,
            ttl_hours: 0,
            frozen_from: fields,
            rates: Rates::default(),
        }
    }

    /// Checks every setting against the range in its documentation.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] names the first wrong setting.
    pub fn validate(&self) -> Result<(), Error> {
        let (fields, bits) = (self.fields, (self.linear_bits, self.vector_bits));
        check("fields", fields as f64, "1..=64", (1..=Self::FIELDS_MAX).contains(&fields))?;
        check("dense", self.dense as f64, "0..=65536", self.dense <= 1 << 16)?;
        check("dim", self.dim.into(), "8 or 16", matches!(self.dim, 8 | 16))?;
        check("linear_bits", bits.0.into(), "10..=24", (10..=24).contains(&bits.0))?;
        check("vector_bits", bits.1.into(), "8..=22", (8..=22).contains(&bits.1))?;
        check("base_rate", self.base_rate, "(0, 1)", self.base_rate > 0.0 && self.base_rate < 1.0)?;
        let rate = self.negative_rate;
        check("negative_rate", rate, "(0, 1]", rate > 0.0 && rate <= 1.0)?;
        self.rates.validate()
    }

    /// The logit of the base rate.
    #[must_use]
    pub fn base_logit(&self) -> f32 {
        (self.base_rate / (1.0 - self.base_rate)).ln() as f32
    }
}

/// The fewest vectors that there can be.
const VECTOR_BITS_MIN: u8 = 8;

/// Settings of the click model and its learner. `Default` is what a new installation runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Components of a factor vector, 8 or 16: an ad's row is one cache line or two.
    pub dim: u8,
    /// Log2 of the number of linear weights, 10 to 24. At 18 they take 2 MB to learn (weight and
    /// accumulator, 8 B) and 1 MB to serve.
    pub linear_bits: u8,
    /// Log2 of the number of factor vectors, 8 to 22. At 16 they take 4 MB to learn (64 B each) and
    /// 2 MB to serve; with 16 components twice that.
    pub vector_bits: u8,
    /// Seeds the vectors' first values.
    pub seed: u64,
    /// The click rate assumed before anything was learned or released, in (0, 1).
    pub base_rate: f64,
    /// How often a feature must be seen before it learns; 0 and 1 are at once.
    pub admission: u8,
    /// Hours without a show after which a feature is forgotten; 0 is never.
    pub ttl_hours: u16,
    /// How long a shown ad waits for its click before it counts as not clicked, in ms, at least 1.
    /// A compressed simulated day shortens it.
    pub click_window_ms: i64,
    /// The part of shows without a click that is learned from, in (0, 1]
    /// ([`FwfmConfig::negative_rate`]). Which, a hash of the hold says.
    pub negative_rate: f64,
    /// How long a click waits for its conversion, in ms, at least 1.
    pub conversion_window_ms: i64,
    /// How many clicks may wait for conversions at once, 1 to [`Config::CONVERSIONS_MAX`].
    pub conversions_max: usize,
    /// Whether what is bid on is calibrated by exchange and campaign group (`calibration.rs`).
    pub calibration: bool,
    /// How many shown ads may wait at once, 1 to [`Config::JOIN_MAX`].
    pub join_max: usize,
    /// Where weights come from releases alone ([`Config::released`]): what a day's gradients count on
    /// the next, in [0, 1]. `None` where the model learns by itself.
    pub released_day_decay: Option<f64>,
    /// How fast each of the models that learn side by side does, 1 to [`Shadows::MAX`].
    pub rates: Vec<Rates>,
}

impl Config {
    /// Most clicks that may wait for conversions: 2^18 are 70 MB.
    pub const CONVERSIONS_MAX: usize = 1 << 18;
    /// Most shown ads that may wait for a click: 2^20 are 250 MB, and at the default window 1,700
    /// impressions a second on this node.
    pub const JOIN_MAX: usize = 1 << 20;

    /// Checks every setting against the range in its documentation.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] names the first wrong setting.
    pub fn validate(&self) -> Result<(), Error> {
        let (window_ms, join_max) = (self.click_window_ms, self.join_max);
        check("click_window_ms", window_ms as f64, "1..", window_ms >= 1)?;
        let is_bounded = (1..=Self::JOIN_MAX).contains(&join_max);
        check("join_max", join_max as f64, "1..=1048576", is_bounded)?;
        let window_ms = self.conversion_window_ms;
        check("conversion_window_ms", window_ms as f64, "1..", window_ms >= 1)?;
        let max = self.conversions_max;
        let is_bounded = (1..=Self::CONVERSIONS_MAX).contains(&max);
        check("conversions_max", max as f64, "1..=262144", is_bounded)?;
        let count = self.rates.len();
        check("rates", count as f64, "1..=4 entries", (1..=Shadows::MAX).contains(&count))?;
        let decay = self.released_day_decay.unwrap_or(0.0);
        check("released_day_decay", decay, "[0, 1]", (0.0..=1.0).contains(&decay))?;
        self.rates.iter().try_for_each(Rates::validate)?;
        online::fwfm_config(self).validate()
    }

    /// The same where weights come from releases alone, with `bits` bits of hashed features: one set of
    /// weights without vectors, and nothing beside them that outcomes could reach.
    #[must_use]
    pub fn released(self, bits: u8, day_decay: f64) -> Self {
        Self {
            linear_bits: bits,
            vector_bits: VECTOR_BITS_MIN,
            admission: 0,
            ttl_hours: 0,
            negative_rate: 1.0,
            calibration: false,
            released_day_decay: Some(day_decay),
            rates: vec![Rates::default()],
            ..self
        }
    }

    /// The logit of [`Config::base_rate`].
    #[must_use]
    pub fn base_logit(&self) -> f32 {
        online::fwfm_config(self).base_logit()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dim: 8,
            linear_bits: 18,
            vector_bits: 16,
            seed: 1,
            base_rate: 0.01,
            admission: 0,
            ttl_hours: 30 * 24,
            click_window_ms: 600_000,
            negative_rate: 1.0,
            conversion_window_ms: 7 * 86_400_000,
            conversions_max: 1 << 16,
            calibration: true,
            join_max: 1 << 18,
            released_day_decay: None,
            rates: Rates::shadows().to_vec(),
        }
    }
}

fn check(key: &'static str, value: f64, range: &'static str, inside: bool) -> Result<(), Error> {
    if inside { Ok(()) } else { Err(Error::OutOfRange { key, value, range }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_wrong_settings_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let wrong = |key: &str, spoil: fn(&mut Config)| {
            let mut config = Config::default();
            spoil(&mut config);
            let named = match config.validate() {
                Err(Error::OutOfRange { key, .. }) => Some(key),
                Ok(()) => None,
            };
            assert_eq!(named, Some(key));
        };
        wrong("dim", |config| config.dim = 12);
        wrong("linear_bits", |config| config.linear_bits = 30);
        wrong("vector_bits", |config| config.vector_bits = 2);
        wrong("base_rate", |config| config.base_rate = f64::NAN);
        wrong("click_window_ms", |config| config.click_window_ms = 0);
        wrong("join_max", |config| config.join_max = usize::MAX);
        wrong("negative_rate", |config| config.negative_rate = 0.0);
        wrong("negative_rate", |config| config.negative_rate = f64::NAN);
        wrong("conversion_window_ms", |config| config.conversion_window_ms = 0);
        wrong("conversions_max", |config| config.conversions_max = usize::MAX);
        wrong("rates", |config| config.rates.clear());
        wrong("vector_rate", |config| config.rates[0].vector_rate = f32::NAN);
        wrong("linear_rate", |config| config.rates[0].linear_rate = 0.0);
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<Config>("linear_bits = 12").is_ok());
        assert!(toml::from_str::<Config>("linear_bit = 12").is_err());
    }
}
