//! Noise: the scale that a cost asks for, and exact draws of it in batches.
//!
//! Draws are integers from OpenDP's exact samplers (Canonne, Kamath, Steinke 2020): no float is
//! involved before a number is released, hence no float attack (Mironov 2012). A batch is drawn
//! whole before any count is touched, so how long it takes says nothing about the counts (Jin et al.
//! 2021), and what is in it can only be added to something: [`Draws`] has no reader outside.

use super::super::accountant::Rho;
use super::super::config::Error;
use dashu::integer::UBig;
use dashu::rational::RBig;
use opendp::traits::samplers::{sample_discrete_gaussian, sample_discrete_laplace};

/// Draws between which threads that bid may have the core: some tenth of a millisecond of them.
const DRAWS_AT_ONCE: usize = 32;

/// The noise's parameter as a rational, rounded up: sigma of a discrete Gaussian, or `b` of a
/// discrete Laplace. Range: 1/1,024 to 2^40.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scale {
    numerator: u64,
}

impl Scale {
    /// Denominator: rounding up costs at most a 1,024th of one count.
    const DENOMINATOR: u64 = 1 << 10;
    /// A scale above 2^40 would drown any count: the configuration is a mistake.
    const NUMERATOR_MAX: u128 = (Self::DENOMINATOR as u128) << 40;

    /// The smallest sigma with `sigma^2 >= sensitivity_squared / (2 rho)`: with it a query of this
    /// squared L2 sensitivity is `rho`-zCDP. `None` where it does not fit, or `rho` is zero.
    #[must_use]
    pub fn for_cost(sensitivity_squared: u128, rho: Rho) -> Option<Self> {
        let wanted = sensitivity_squared
            .checked_mul(u128::from(Rho::PER_UNIT))?
            .checked_mul(u128::from(Self::DENOMINATOR).pow(2))?;
        let doubled = u128::from(rho.picos()).checked_mul(2)?;
        let squared = wanted.checked_add(doubled.checked_sub(1)?)? / doubled;
        let floor = squared.isqrt();
        Self::rounded_up(floor + u128::from(floor * floor < squared))
    }

    /// `b` of the discrete Laplace with which a query of this L1 sensitivity is purely
    /// `epsilon`-private, rounded up. `None` where it does not fit, or `epsilon` is no positive number.
    #[must_use]
    pub fn for_epsilon(sensitivity: u32, epsilon: f64) -> Option<Self> {
        // The next float upwards pays for the division's own rounding.
        let wanted = (f64::from(sensitivity) * Self::DENOMINATOR as f64 / epsilon).next_up().ceil();
        let is_usable = epsilon > 0.0
            && epsilon.is_finite()
            && wanted >= 1.0
            && wanted <= Self::NUMERATOR_MAX as f64;
        if is_usable { Self::rounded_up(wanted as u128) } else { None }
    }

    /// From 1,024 on a scale is a whole number: it costs at most a 1,024th, and the sampler's
    /// rationals stay short.
    fn rounded_up(numerator: u128) -> Option<Self> {
        let denominator = u128::from(Self::DENOMINATOR);
        let is_large = numerator >= denominator * denominator;
        let numerator = if is_large { numerator.next_multiple_of(denominator) } else { numerator };
        let is_usable = numerator > 0 && numerator <= Self::NUMERATOR_MAX;
        if is_usable {
            u64::try_from(numerator).ok().map(|numerator| Self { numerator })
        } else {
            None
        }
    }

    /// The scale as the samplers take it.
    fn rational(self) -> RBig {
        RBig::from_parts(UBig::from(self.numerator).into(), UBig::from(Self::DENOMINATOR))
    }

    /// The scale as a number; exact, since it has at most 50 bits.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / Self::DENOMINATOR as f64
    }

    /// Variance of the discrete Gaussian of this sigma, as declared: sigma squared. Its own variance
    /// is never above it, and equal within 1e-6 from sigma 1 on.
    #[must_use]
    pub fn variance(self) -> f64 {
        self.as_f64().powi(2)
    }

    /// Variance of the discrete Laplace of this `b`: `2 a / (1 - a)^2` with `a = exp(-1/b)`.
    #[must_use]
    pub fn laplace_variance(self) -> f64 {
        let inverse = -1.0 / self.as_f64();
        2.0 * inverse.exp() / inverse.exp_m1().powi(2)
    }
}

/// Where noise comes from: OpenDP's samplers. Unit tests can plant a sequence; nothing else can.
pub struct NoiseSource(Source);

enum Source {
    OpenDp,
    #[cfg(test)]
    Planted(Box<dyn FnMut() -> i64 + Send>),
}

impl NoiseSource {
    /// OpenDP's exact samplers, under the operating system's entropy.
    #[must_use]
    pub const fn exact() -> Self {
        Self(Source::OpenDp)
    }

    /// A sequence that a unit test chose.
    #[cfg(test)]
    pub(crate) fn planted(next: impl FnMut() -> i64 + Send + 'static) -> Self {
        Self(Source::Planted(Box::new(next)))
    }

    /// `count` independent draws of the discrete Gaussian of parameter `sigma`.
    ///
    /// # Errors
    /// [`Error::Noise`] where the system has no entropy, or a draw leaves the range of `i64`.
    pub fn gaussian(&mut self, sigma: Scale, count: usize) -> Result<Draws, Error> {
        self.draw(sigma, count, sample_discrete_gaussian)
    }

    /// `count` independent draws of the discrete Laplace of parameter `b`.
    ///
    /// # Errors
    /// As [`NoiseSource::gaussian`].
    pub fn laplace(&mut self, b: Scale, count: usize) -> Result<Draws, Error> {
        self.draw(b, count, sample_discrete_laplace)
    }

    fn draw<T, E>(
        &mut self,
        scale: Scale,
        count: usize,
        sample: impl Fn(RBig) -> Result<T, E>,
    ) -> Result<Draws, Error>
    where
        i64: TryFrom<T>,
        E: std::fmt::Display,
    {
        let values: Result<Vec<i64>, Error> = match &mut self.0 {
            Source::OpenDp => {
                let scale = scale.rational();
                let one = |number: usize| {
                    if number.is_multiple_of(DRAWS_AT_ONCE) {
                        std::thread::yield_now();
                    }
                    let noise =
                        sample(scale.clone()).map_err(|error| Error::Noise(error.to_string()))?;
                    i64::try_from(noise)
                        .map_err(|_| Error::Noise("a draw left the range of i64".to_owned()))
                };
                (0..count).map(one).collect()
            }
            #[cfg(test)]
            Source::Planted(next) => Ok((0..count).map(|_| next()).collect()),
        };
        Ok(Draws(values?.into_iter()))
    }
}

/// A batch of draws that waits to be added to counts, each once. Not readable: who knows the noise
/// knows the count.
pub struct Draws(std::vec::IntoIter<i64>);

impl Draws {
    /// How many are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// `count` and the next draw; a sum that does not fit stays at the end of the range.
    ///
    /// # Errors
    /// [`Error::Noise`] when the batch is used up: nothing leaves without noise.
    pub(in crate::privacy) fn noised(&mut self, count: i64) -> Result<i64, Error> {
        let noise =
            self.0.next().ok_or_else(|| Error::Noise("too few draws were made".to_owned()))?;
        Ok(count.saturating_add(noise))
    }
}
