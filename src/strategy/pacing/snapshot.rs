//! What the auction reads of the controllers: numbers of one campaign, and all of them together.

use super::RATIO_PRIOR;
use crate::units::Slot;

/// A campaign's multipliers, as the auction reads them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Generation of the campaign's slot.
    pub generation: u32,
    /// Log of the budget's multiplier.
    pub ln_budget: f32,
    /// Log of the CPA's multiplier; at the cap where there is no target.
    pub ln_cpa: f32,
    /// Highest `ln_budget`.
    pub ln_cap: f32,
    /// Step of one auction; 0 where nothing is paced.
    pub gain: f32,
    /// Nanos that the plan spends in one eligible auction; 0 when not known.
    pub plan_nanos: f32,
    /// Expected cost of a held nano.
    pub cost_ratio: f32,
}

impl Pace {
    /// What an unknown campaign has: its value, as it is.
    pub const NEUTRAL: Self = Self {
        generation: 0,
        ln_budget: 0.0,
        ln_cpa: 0.0,
        ln_cap: 0.0,
        gain: 0.0,
        plan_nanos: 0.0,
        cost_ratio: RATIO_PRIOR as f32,
    };

    /// The pace of an arm whose share of the day's budget is spent: it does not bid, and nothing moves.
    #[must_use]
    pub const fn spent(self) -> Self {
        Self { ln_cpa: f32::NEG_INFINITY, gain: 0.0, ..self }
    }

    /// Whether it is [`Pace::spent`].
    #[inline]
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.ln_cpa.is_infinite()
    }

    /// The factor on the value.
    #[must_use]
    pub fn multiplier(&self) -> f32 {
        self.ln_multiplier().exp()
    }

    /// Its logarithm: of the two, the lower.
    #[inline]
    #[must_use]
    pub fn ln_multiplier(&self) -> f32 {
        if self.ln_budget < self.ln_cpa { self.ln_budget } else { self.ln_cpa }
    }
}

/// All multipliers, by slot index, with the reports of each core that went into them.
#[derive(Clone, Debug, Default)]
pub struct PacingSnapshot {
    /// Grows with each publication.
    pub epoch: u64,
    /// The number of the last report that was folded, by core.
    pub folded: Vec<(u16, u32)>,
    /// By slot index.
    pub paces: Vec<Pace>,
}

impl PacingSnapshot {
    /// The pace of a slot; neutral when its generation is not the published one.
    #[must_use]
    pub fn pace(&self, slot: Slot) -> Pace {
        let found = self.paces.get(slot.index as usize);
        found.filter(|pace| pace.generation == slot.generation).map_or(Pace::NEUTRAL, |pace| *pace)
    }

    pub(super) fn folded(&self, core: u16) -> u32 {
        self.folded.iter().find(|(of, _)| *of == core).map_or(0, |(_, number)| *number)
    }
}
