//! How strongly something beside interest speaks for an ad, in steps that each have a learned weight.

/// Steps, and none.
pub(super) const STRENGTHS: usize = 7;
/// Families of relevance, in the order of [`Strengths::steps`].
pub(super) const FAMILIES: usize = 3;
/// Their names, in that order.
pub(super) const FAMILY_NAMES: [&str; FAMILIES] =
    ["collaborative relevance", "content relevance", "sequence relevance"];

/// Upper edges of the steps, a factor of two to three apart: shares of what others went on to and
/// similarities both lie between 0 and 1, the first mostly below a tenth.
const EDGES: [f32; STRENGTHS - 2] = [0.02, 0.05, 0.12, 0.3, 0.7];

/// A step: 0 where nothing speaks for the ad, or nothing may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strength(u8);

impl Strength {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// The step of a score from 0 to 1; NaN is nothing.
    #[inline]
    #[must_use]
    pub fn of(score: f32) -> Self {
        let above = |edge: f32| u8::from(score > edge);
        Self(above(0.0) + EDGES.iter().map(|&edge| above(edge)).sum::<u8>())
    }

    /// The number of the step, below [`STRENGTHS`].
    #[inline(always)]
    pub(super) const fn step(self) -> usize {
        self.0 as usize
    }
}

/// What speaks for one ad to one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strengths {
    /// What other users did who visited the same (`relevance`).
    pub collaborative: Strength,
    /// What the items visited are about (`relevance`).
    pub content: Strength,
    /// What the sequence model expects next (`relevance::sequence`).
    pub sequence: Strength,
}

impl Strengths {
    /// Nothing speaks for it, or nothing may.
    pub const NONE: Self =
        Self { collaborative: Strength::NONE, content: Strength::NONE, sequence: Strength::NONE };

    /// The step of each family.
    #[inline(always)]
    pub(super) const fn steps(self) -> [usize; FAMILIES] {
        [self.collaborative.step(), self.content.step(), self.sequence.step()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_has_one_step() {
        for (score, step) in [
            (f32::NAN, 0),
            (-1.0, 0),
            (0.0, 0),
            (1e-9, 1),
            (0.02, 1),
            (0.021, 2),
            (0.1, 3),
            (0.5, 5),
            (1.0, STRENGTHS - 1),
            (f32::INFINITY, STRENGTHS - 1),
        ] {
            assert_eq!(Strength::of(score).step(), step, "{score}");
        }
    }
}
