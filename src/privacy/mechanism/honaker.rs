//! Honaker's tree: the continual counter that remembers `O(log T)` numbers, for very long days.
//!
//! Each node of a binary tree over the steps is released once, when its last leaf is counted, with
//! noise of its own. A step is in one node of each of the `floor(log2 T) + 1` levels, so a column of
//! the matrix has that squared norm. Honaker (2015): a node's count is estimated from its own
//! release and from the estimates of its two halves, weighted by their inverse variances, so a node
//! of level `l` has the variance `v_l = 1 / (1 + 1 / (2 v_{l-1}))`, `v_0 = 1`.

/// Most steps: 64 levels would do more, no day has more than a million ticks.
pub const STEPS_MAX: usize = 1 << 20;

/// The tree over one day: `T` steps.
#[derive(Debug)]
pub struct Honaker {
    steps: usize,
    /// `v_l`, for noise of variance 1.
    variances: Vec<f64>,
}

impl Honaker {
    /// The tree over `steps` steps. `None` unless `1 <= steps <= 2^20`.
    #[must_use]
    pub fn new(steps: usize) -> Option<Self> {
        if steps == 0 || steps > STEPS_MAX {
            return None;
        }
        let levels = steps.ilog2() as usize + 1;
        let next = |variance: &f64| Some(1.0 / (1.0 + 1.0 / (2.0 * variance)));
        let variances = std::iter::successors(Some(1.0), next).take(levels).collect();
        Some(Self { steps, variances })
    }

    /// `T`.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// The number of levels: the squared norm of a column.
    #[must_use]
    pub const fn norm_squared(&self) -> u64 {
        self.variances.len() as u64
    }

    /// How many nodes are complete with the `step`-th step (from 1).
    #[must_use]
    pub const fn nodes_at(step: usize) -> usize {
        step.trailing_zeros() as usize + 1
    }

    /// Variance of the estimate after `steps` steps, for noise of variance 1: the nodes that add up
    /// to them are those of the bits of their number.
    #[must_use]
    pub fn variance(&self, steps: usize) -> f64 {
        let nodes = self.variances.iter().enumerate().filter(|(level, _)| steps >> level & 1 == 1);
        nodes.map(|(_, variance)| variance).sum()
    }

    /// Counts `x` in the open node of each level, and gives the sums of those that `step` completes
    /// to `emit`, from the leaf up.
    pub(super) fn encode<E>(
        &self,
        open: &mut Vec<i64>,
        step: usize,
        x: i64,
        mut emit: impl FnMut(i64) -> Result<(), E>,
    ) -> Result<(), E> {
        open.resize(self.variances.len(), 0);
        for sum in open.iter_mut() {
            // Saturation widens no difference.
            *sum = sum.saturating_add(x);
        }
        for sum in open.iter_mut().take(Self::nodes_at(step)) {
            emit(std::mem::take(sum))?;
        }
        Ok(())
    }

    /// Takes in what was released at `step`; `nodes` holds the estimates of the nodes that are the
    /// bits of the steps so far, by level.
    pub(super) fn decode(&self, nodes: &mut Vec<f64>, step: usize, released: &[i64]) {
        nodes.resize(self.variances.len(), 0.0);
        let mut estimate = 0.0;
        for (level, &own) in released.iter().enumerate() {
            let own = own as f64;
            estimate = if level == 0 {
                own
            } else {
                // The left half waits one level below, the right one was made just now.
                let halves = nodes[level - 1] + estimate;
                let variance = self.variances[level];
                variance * own + (1.0 - variance) * halves
            };
        }
        let level = Self::nodes_at(step) - 1;
        nodes[level] = estimate;
    }

    /// The estimate after `steps` steps.
    pub(super) fn estimate(nodes: &[f64], steps: usize) -> f64 {
        let summed = nodes.iter().enumerate().filter(|(level, _)| steps >> level & 1 == 1);
        summed.map(|(_, estimate)| estimate).sum()
    }
}
