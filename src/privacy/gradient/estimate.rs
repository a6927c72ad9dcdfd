//! The public half: from released integers to the day's estimated gradient.

use super::Gradient;
use super::mechanism::GradientPlan;
use crate::privacy::config::Error;
use crate::privacy::mechanism::ReleasedStream;
use serde::{Deserialize, Serialize};

/// What was released of a day's gradients: everything in it may be shown, and it can be made again
/// from a log.
pub struct ReleasedGradients {
    plan: GradientPlan,
    /// Of the open segment.
    streams: Vec<ReleasedStream>,
    steps: usize,
    /// What the segments before add up to.
    earlier: Vec<f64>,
    earlier_variance: f64,
    earlier_ticks: usize,
}

/// The estimated sum of all gradients of a day so far, one a coordinate, in gradients of norm 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GradientTotals {
    /// The day, UTC days since 1970.
    pub day: i32,
    /// Counts the ticks that were released of it.
    pub ticks: usize,
    /// By coordinate.
    pub sums: Vec<f64>,
    /// Variance of the noise in each of them.
    pub variance: f64,
    /// What it will be at the end of a day of one segment.
    pub day_variance: f64,
}

impl ReleasedGradients {
    /// Before the first release of a day.
    #[must_use]
    pub fn begin(plan: &GradientPlan) -> Self {
        let dimensions = plan.dimensions();
        Self {
            plan: plan.clone(),
            streams: vec![ReleasedStream::default(); dimensions],
            steps: 0,
            earlier: vec![0.0; dimensions],
            earlier_variance: 0.0,
            earlier_ticks: 0,
        }
    }

    /// A new segment begins: what was estimated of the one before stands.
    pub fn begin_segment(&mut self) {
        let GradientTotals { sums, variance, ticks, .. } = self.totals(0);
        *self = Self {
            earlier: sums,
            earlier_variance: variance,
            earlier_ticks: ticks,
            ..Self::begin(&self.plan)
        };
    }

    /// Takes in what one tick released.
    ///
    /// # Errors
    /// [`Error::Released`] where it is not of as many coordinates, [`Error::StepsUsedUp`] after the
    /// day's last tick. Nothing has changed then.
    pub fn push(&mut self, released: &[i64]) -> Result<(), Error> {
        if released.len() != self.streams.len() {
            let expected = self.streams.len();
            return Err(Error::Released { found: released.len(), expected });
        }
        for (stream, value) in self.streams.iter_mut().zip(released) {
            stream.push(self.plan.matrix(), std::slice::from_ref(value))?;
        }
        self.steps += 1;
        Ok(())
    }

    /// The estimate so far, of this day.
    #[must_use]
    pub fn totals(&self, day: i32) -> GradientTotals {
        let unit = Gradient::UNIT as f64;
        let matrix = self.plan.matrix();
        let open = self.streams.iter().map(|stream| stream.estimate(matrix) / unit);
        GradientTotals {
            day,
            ticks: self.earlier_ticks + self.steps,
            sums: open.zip(&self.earlier).map(|(open, earlier)| open + earlier).collect(),
            variance: self.plan.variance(self.steps) + self.earlier_variance,
            day_variance: self.plan.variance(self.plan.steps()),
        }
    }
}
