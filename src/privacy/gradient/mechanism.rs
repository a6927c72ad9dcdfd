//! The secret half: sums of gradients that nobody may read, and their release.

use super::Gradient;
use crate::privacy::accountant::Rho;
use crate::privacy::config::Error;
use crate::privacy::mechanism::{Continual, NoiseSource, RawStream, Scale};
use std::sync::Arc;

/// What releases of gradients are made with, the same for both halves.
#[derive(Clone, Debug)]
pub struct GradientPlan {
    matrix: Arc<Continual>,
    sigma: Scale,
    dimensions: usize,
}

impl GradientPlan {
    /// Most coordinates: 2^16 hashed features and some hundred others. A tick releases one integer,
    /// 8 bytes, for each.
    pub const DIMENSIONS_MAX: usize = (1 << 16) + 256;

    /// Releases of so many coordinates in `steps` ticks a day, at a cost of `rho` to a user of whom
    /// `examples` are counted a day. `None` where a size does not fit, or `rho` is zero.
    #[must_use]
    pub fn new(dimensions: usize, examples: u16, steps: usize, rho: Rho) -> Option<Self> {
        if dimensions == 0 || dimensions > Self::DIMENSIONS_MAX || examples == 0 {
            return None;
        }
        let matrix = Continual::toeplitz(steps)?;
        let norm = u64::from(examples).checked_mul(Gradient::UNIT.unsigned_abs())?;
        let sigma = matrix.scale(norm.checked_pow(2)?, rho)?;
        Some(Self { matrix: Arc::new(matrix), sigma, dimensions })
    }

    /// Coordinates.
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Standard deviation of the noise in a coordinate's estimated sum after so many ticks of a
    /// segment, where an example's gradient has a norm of 1.
    #[must_use]
    pub fn deviation(&self, steps: usize) -> f64 {
        self.variance(steps).sqrt()
    }

    /// Its square.
    pub(super) fn variance(&self, steps: usize) -> f64 {
        self.matrix.variance(steps, self.sigma) / (Gradient::UNIT as f64).powi(2)
    }

    /// `S^2 |c'|^2 / (2 sigma^2)`: the rho that a day costs a user of so many examples.
    #[cfg(test)]
    pub(in crate::privacy) fn cost(&self, examples: u16) -> f64 {
        let norm = f64::from(examples) * Gradient::UNIT as f64;
        norm * norm * self.matrix.norm_squared() as f64 / (2.0 * self.sigma.variance())
    }

    /// The noise of one released integer.
    #[cfg(test)]
    pub(super) fn sigma_units(&self) -> f64 {
        self.sigma.as_f64()
    }

    /// Ticks of a day.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.matrix.steps()
    }

    pub(super) const fn matrix(&self) -> &Arc<Continual> {
        &self.matrix
    }
}

/// The gradients of one tick, summed. They leave through [`RawGradients::release`] alone.
pub struct GradientSums {
    sums: Vec<i64>,
}

impl GradientSums {
    /// Sums of nothing.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self { sums: vec![0; dimensions] }
    }

    /// Adds one gradient. Coordinates beyond the last are left out, which makes it no longer.
    pub fn add(&mut self, gradient: &Gradient) {
        for &(coordinate, units) in gradient.parts() {
            if let Some(sum) = self.sums.get_mut(coordinate as usize) {
                // Saturation widens no difference.
                *sum = sum.saturating_add(units.into());
            }
        }
    }
}

/// One segment of a day: what was summed in its ticks, and how it is noised.
pub struct RawGradients {
    plan: GradientPlan,
    streams: Vec<RawStream>,
}

impl RawGradients {
    /// A segment that begins with nothing.
    #[must_use]
    pub fn begin(plan: &GradientPlan) -> Self {
        let streams = std::iter::repeat_with(RawStream::default).take(plan.dimensions).collect();
        Self { plan: plan.clone(), streams }
    }

    /// Ends a tick in which `sums` were collected: the integers to be logged and then shown, one a
    /// coordinate. Every coordinate is noised, also where nothing was taught.
    ///
    /// # Errors
    /// As [`RawStream::release`]: nothing may be shown then, nor of this segment any more.
    pub fn release(
        &mut self,
        sums: &GradientSums,
        noise: &mut NoiseSource,
    ) -> Result<Vec<i64>, Error> {
        let mut draws = noise.gaussian(self.plan.sigma, self.streams.len())?;
        let mut released = Vec::with_capacity(self.streams.len());
        for (place, stream) in self.streams.iter_mut().enumerate() {
            let sum = sums.sums.get(place).copied().unwrap_or(0);
            stream.release(&self.plan.matrix, sum, &mut draws, &mut released)?;
        }
        Ok(released)
    }
}
