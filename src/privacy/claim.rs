//! What is promised about a user-day, and what its budget is spent on.

use super::accountant::Rho;
use super::cell::{KINDS, Kind};
use super::zcdp;
use std::fmt;

/// What a day's budget is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Sums of one kind.
    Kind(Kind),
    /// Whether the day is full.
    Users,
    /// Sizes of segments.
    Segments,
    /// What is learned.
    Model,
}

impl Part {
    /// How many there are.
    pub const COUNT: usize = KINDS + 3;
    /// All, in the order in which ledgers write them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Kind(Kind::Impression),
        Self::Kind(Kind::Click),
        Self::Kind(Kind::Conversion),
        Self::Kind(Kind::Spend),
        Self::Users,
        Self::Segments,
        Self::Model,
    ];

    /// Its place in [`Part::ALL`].
    #[must_use]
    pub fn place(self) -> u8 {
        Self::ALL.iter().position(|part| *part == self).map_or(u8::MAX, |place| place as u8)
    }

    /// Its name in tables and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.label(),
            Self::Users => "users",
            Self::Segments => "segments",
            Self::Model => "model",
        }
    }
}

/// What is promised about a user-day; prints itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// The day's rho.
    pub rho: Rho,
    /// Delta of a user-day, all in all.
    pub delta: f64,
    /// The part of it that the thresholds of segments use.
    pub segments_delta: f64,
}

impl Claim {
    /// Epsilon of one user-day.
    #[must_use]
    pub fn epsilon(&self) -> f64 {
        self.over_days(1)
    }

    /// Epsilon of `days` days of one user together, at [`Claim::delta_over`] them.
    #[must_use]
    pub fn over_days(&self, days: u32) -> f64 {
        zcdp::epsilon(self.rho.as_f64() * f64::from(days), self.delta - self.segments_delta)
    }

    /// Delta of `days` days of one user together: thresholds add up, the rest is chosen once.
    #[must_use]
    pub fn delta_over(&self, days: u32) -> f64 {
        self.delta + f64::from(days.saturating_sub(1)) * self.segments_delta
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded up: a printed epsilon is never below the real one.
        let up = |epsilon: f64| (epsilon * 1e3).ceil() / 1e3;
        write!(
            formatter,
            "epsilon {:.3} and delta {:e} a user-day (rho {:.6}); epsilon {:.3} over 30 days",
            up(self.epsilon()),
            self.delta,
            self.rho.as_f64(),
            up(self.over_days(30)),
        )?;
        if self.segments_delta > 0.0 {
            write!(formatter, "; {:e} of delta for which segments are shown", self.segments_delta)?;
        }
        Ok(())
    }
}
