//! One weight that learns by FTRL-Proximal (McMahan et al., "Ad Click Prediction: a View from the
//! Trenches", KDD 2013, algorithm 1).

use serde::{Deserialize, Serialize};

/// The four constants of FTRL-Proximal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FtrlRates {
    pub(super) alpha: f32,
    pub(super) beta: f32,
    pub(super) l1: f32,
    pub(super) l2: f32,
}

/// One weight: its state `z` and accumulator `n` side by side, since whoever needs one needs both
/// (apart, they cost fwumious_wabbit half of its speed). Zero at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FtrlWeight {
    z: f32,
    n: f32,
}

impl FtrlWeight {
    /// The weight that the state stands for.
    #[inline(always)]
    pub(super) fn value(self, rates: FtrlRates) -> f32 {
        let beyond = self.z.abs() - rates.l1;
        if beyond <= 0.0 {
            return 0.0;
        }
        -beyond.copysign(self.z) / ((rates.beta + self.n.sqrt()) / rates.alpha + rates.l2)
    }

    /// One step against `gradient`.
    #[inline(always)]
    pub(super) fn step(&mut self, gradient: f32, rates: FtrlRates) {
        let squared = gradient * gradient;
        let sigma = ((self.n + squared).sqrt() - self.n.sqrt()) / rates.alpha;
        self.z += gradient - sigma * self.value(rates);
        self.n += squared;
    }

    /// The sum of its squared gradients.
    pub(super) const fn squares(self) -> f32 {
        self.n
    }

    /// Whether it never learned.
    pub(super) fn is_empty(self) -> bool {
        self.z == 0.0 && self.n == 0.0
    }
}
