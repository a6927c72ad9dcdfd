//! AboveThreshold on a count that only grows: says once that it is "above", for one epsilon a day.
//!
//! The sparse vector technique (Dwork, Naor, Reingold, Rothblum, Vadhan 2009), in the form for
//! monotone queries (Lyu, Su, Li 2017): the threshold gets one discrete Laplace of `b = 2 / epsilon`,
//! each question another of the same `b`, and the first "above" ends it. One user's day moves every
//! count by 0 or 1, all of them in one direction, so the questions' noise needs no factor of two.
//! However many questions are answered "below", all of them together cost `epsilon`, purely; the
//! proof is in `docs/privacy.md`.

use super::super::accountant::Rho;
use super::super::config::Error;
use super::noise::{NoiseSource, Scale};

/// One run: from its first question to its "above".
pub struct AboveThreshold {
    /// The noised threshold; a secret as much as the counts are.
    threshold: i64,
    b: Scale,
    is_above: bool,
}

impl AboveThreshold {
    /// A run against `limit`. `None` instead of an epsilon that is no positive number, or so small
    /// that the noise does not fit.
    ///
    /// # Errors
    /// [`Error::Noise`].
    pub fn begin(limit: u64, epsilon: f64, noise: &mut NoiseSource) -> Result<Option<Self>, Error> {
        let Some(b) = Scale::for_epsilon(2, epsilon) else { return Ok(None) };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let threshold = noise.laplace(b, 1)?.noised(limit)?;
        Ok(Some(Self { threshold, b, is_above: false }))
    }

    /// Whether `count` has been found above, now or earlier. After the first time no noise is drawn
    /// and no count is looked at.
    ///
    /// # Errors
    /// [`Error::Noise`]: take it for "above", which is the safe side.
    pub fn ask(&mut self, count: u64, noise: &mut NoiseSource) -> Result<bool, Error> {
        if !self.is_above {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.is_above = noise.laplace(self.b, 1)?.noised(count)? >= self.threshold;
        }
        Ok(self.is_above)
    }

    /// Goes on with a run whose noised threshold was kept: it is the same run, at no further cost.
    /// `None` as in [`AboveThreshold::begin`].
    pub(in crate::privacy) fn resume(threshold: i64, epsilon: f64) -> Option<Self> {
        let b = Scale::for_epsilon(2, epsilon)?;
        Some(Self { threshold, b, is_above: false })
    }

    /// The noised threshold, to be kept where secrets are.
    pub(in crate::privacy) const fn bar(&self) -> i64 {
        self.threshold
    }

    /// What a run costs: pure `epsilon` is `epsilon^2 / 2`-zCDP, rounded up.
    #[must_use]
    pub fn cost(epsilon: f64) -> Rho {
        Rho::at_least(epsilon * epsilon / 2.0)
    }
}
