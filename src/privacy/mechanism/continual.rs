//! Continual counting: a counter's total after every tick of a day, at the cost of one release.
//!
//! A [`Continual`] is a public matrix. For each counter, [`RawStream`] turns counts into released
//! integers and remembers what nobody may see; [`ReleasedStream`] turns released integers into
//! estimates and remembers what everybody may. The two meet in released integers alone, so the
//! second can be made again from a log.
//!
//! # Cost
//! Let one user's day change a counter by `x`, with `sum |x_t| <= c` over all of the day. The
//! released vector changes by `C x = sum_t x_t C e_t`, so by at most `sum_t |x_t| ||C e_t|| <=
//! c ||c'||`: when it happens within the day makes no difference. Over cells, with `c_i <= c` in a
//! cell, at most `K` of them and `sum_i c_i <= B`: `sum_i c_i^2 <= min(K c^2, B c) = S^2`. So with
//! `sigma^2 >= S^2 ||c'||^2 / (2 rho)` the whole day is `rho`-zCDP ([`Continual::scale`]).
//!
//! A stream may begin at any tick of the day, and begin anew: its columns are then beginnings of
//! columns of the whole, which are no longer, and a count is in one segment alone, so the same bound
//! covers all segments of a day together (`docs/privacy.md` has the proof).

use super::super::accountant::Rho;
use super::super::config::Error;
use super::honaker::Honaker;
use super::noise::{Draws, Scale};
use super::toeplitz::Toeplitz;

/// The most by which a counter can be asked to grow in all: with 20 bits of coefficients its
/// released integers stay far inside of `i64`.
const TOTAL_MAX: u64 = 1 << 40;

/// A mechanism for counting through a day, the same for all counters.
#[derive(Debug)]
pub enum Continual {
    /// The smallest error; 16 bytes a step and counter are remembered.
    Toeplitz(Toeplitz),
    /// Some 1.7 times its error (at 288 steps); 16 bytes a level and counter are remembered.
    Honaker(Honaker),
}

impl Continual {
    /// The integer square-root-Toeplitz mechanism of `steps` ticks a day, 1 to 4,096.
    #[must_use]
    pub fn toeplitz(steps: usize) -> Option<Self> {
        Toeplitz::new(steps, Toeplitz::BITS).map(Self::Toeplitz)
    }

    /// Honaker's tree of `steps` ticks a day, 1 to 2^20.
    #[must_use]
    pub fn honaker(steps: usize) -> Option<Self> {
        Honaker::new(steps).map(Self::Honaker)
    }

    /// Ticks of a day.
    #[must_use]
    pub fn steps(&self) -> usize {
        match self {
            Self::Toeplitz(matrix) => matrix.steps(),
            Self::Honaker(tree) => tree.steps(),
        }
    }

    /// The largest squared L2 norm of a column.
    #[must_use]
    pub const fn norm_squared(&self) -> u64 {
        match self {
            Self::Toeplitz(matrix) => matrix.norm_squared(),
            Self::Honaker(tree) => tree.norm_squared(),
        }
    }

    /// The noise with which a day of releases costs at most `rho`, where one user's day changes the
    /// vector of cells' totals by at most the root of `sensitivity_squared` (see the module), rounded
    /// up. `None` where a size does not fit: a configuration to be refused.
    #[must_use]
    pub fn scale(&self, sensitivity_squared: u64, rho: Rho) -> Option<Scale> {
        let squared = u128::from(sensitivity_squared).checked_mul(self.norm_squared().into())?;
        Scale::for_cost(squared, rho)
    }

    /// Whether counters that grow by at most `total` in a day are released exactly; beyond it they
    /// are held at the end of the range, which is private and wrong.
    #[must_use]
    pub const fn fits(total: u64) -> bool {
        total <= TOTAL_MAX
    }

    /// How many integers the `step`-th step (from 1) of a stream releases, each with a draw.
    #[must_use]
    pub const fn values_at(&self, step: usize) -> usize {
        match self {
            Self::Toeplitz(_) => 1,
            Self::Honaker(_) => Honaker::nodes_at(step),
        }
    }

    /// Variance of the estimate after `steps` steps of a stream with noise of parameter `sigma`.
    #[must_use]
    pub fn variance(&self, steps: usize, sigma: Scale) -> f64 {
        self.unit_variance(steps) * sigma.variance()
    }

    /// The same for draws of variance 1.
    #[must_use]
    pub fn unit_variance(&self, steps: usize) -> f64 {
        match self {
            Self::Toeplitz(matrix) => matrix.variance(steps),
            Self::Honaker(tree) => tree.variance(steps),
        }
    }
}

/// The secret half of one counter's segment. No getter, no `Debug`, no `Clone`: what it holds leaves
/// through [`RawStream::release`] alone.
#[derive(Default)]
pub struct RawStream {
    steps: usize,
    /// Toeplitz: what was counted, step by step. Honaker: the open node of each level.
    memory: Vec<i64>,
}

impl RawStream {
    /// How many draws the next release takes.
    #[must_use]
    pub const fn draws(&self, mechanism: &Continual) -> usize {
        mechanism.values_at(self.steps + 1)
    }

    /// Ends a step in which `count` was counted: appends its released integers to `released`, one for
    /// each of [`RawStream::draws`]. The draws must be discrete Gaussians of [`Continual::scale`].
    ///
    /// # Errors
    /// [`Error::StepsUsedUp`] after the day's last step, and [`Error::Noise`] where `draws` holds too
    /// few; `released` may then hold a part of the step, and nothing of it may be shown.
    pub fn release(
        &mut self,
        mechanism: &Continual,
        count: i64,
        draws: &mut Draws,
        released: &mut Vec<i64>,
    ) -> Result<(), Error> {
        if self.steps >= mechanism.steps() {
            return Err(Error::StepsUsedUp);
        }
        self.steps += 1;
        match mechanism {
            Continual::Toeplitz(matrix) => {
                self.memory.push(count);
                released.push(draws.noised(matrix.encode(&self.memory))?);
                Ok(())
            }
            Continual::Honaker(tree) => tree.encode(&mut self.memory, self.steps, count, |sum| {
                released.push(draws.noised(sum)?);
                Ok(())
            }),
        }
    }
}

/// The public half of one counter's segment: everything in it was released.
#[derive(Clone, Debug, Default)]
pub struct ReleasedStream {
    steps: usize,
    /// Toeplitz: what was released.
    values: Vec<i64>,
    /// Honaker: the estimates of the complete nodes.
    nodes: Vec<f64>,
}

impl ReleasedStream {
    /// Steps so far.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// How many integers the next step has released.
    #[must_use]
    pub const fn values(&self, mechanism: &Continual) -> usize {
        mechanism.values_at(self.steps + 1)
    }

    /// Takes in the integers of one step.
    ///
    /// # Errors
    /// [`Error::StepsUsedUp`] after the day's last step, [`Error::Released`] where the number of
    /// integers is not [`ReleasedStream::values`]. Nothing has changed then.
    pub fn push(&mut self, mechanism: &Continual, released: &[i64]) -> Result<(), Error> {
        if self.steps >= mechanism.steps() {
            return Err(Error::StepsUsedUp);
        }
        if released.len() != self.values(mechanism) {
            return Err(Error::Released {
                found: released.len(),
                expected: self.values(mechanism),
            });
        }
        self.steps += 1;
        match mechanism {
            Continual::Toeplitz(_) => self.values.extend_from_slice(released),
            Continual::Honaker(tree) => tree.decode(&mut self.nodes, self.steps, released),
        }
        Ok(())
    }

    /// The estimated total of all steps so far: unbiased, and may be negative.
    #[must_use]
    pub fn estimate(&self, mechanism: &Continual) -> f64 {
        match mechanism {
            Continual::Toeplitz(matrix) => matrix.estimate(&self.values),
            Continual::Honaker(_) => Honaker::estimate(&self.nodes, self.steps),
        }
    }
}
