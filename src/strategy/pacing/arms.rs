//! The arms of a traffic split: each has controllers of its own, against its share of the day's budget.
//!
//! To its controllers an arm is a campaign of its own: they see its bids, its bills and its
//! conversions, and what is left of its share. Only what is in flight is known of the campaign as a
//! whole, and counts for each arm by what it placed lately. An arm whose share is spent, or in flight,
//! does not bid until that has changed, whatever its strategy: at a tick, so that it may be over its
//! share by what it spends from one tick to the next, but never over the budget, which is the ledger's.

use super::{
    CampaignPacing, LocalEntry, Pace, PacingKind, PacingStatus, PlanKind, ReleasedSum, Target,
    TickInput,
};
use crate::units::{Nanos, Slot, Timestamp};

/// Half-life of what an arm placed, for its part of what is in flight: 30 s, some losses' way back.
const PLACED_HALF_LIFE_MS: f64 = 30_000.0;

/// How one arm bids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArmTerms {
    /// The place of its pace; the generation tells it from every other arm.
    pub slot: Slot,
    /// Percent of the campaign's users, and of each day's budget.
    pub share: u8,
    /// How its part is paced.
    pub pacing: PacingKind,
    /// Which plan that follows.
    pub plan: PlanKind,
    /// How far its strategy lets pacing go: millionths of the value.
    pub multiplier_max_ppm: u64,
    /// What conversions may cost by its strategy.
    pub target: Option<Target>,
}

impl ArmTerms {
    /// Whether an arm of these terms can go on with the controllers of one of the others.
    fn is_controlled_as(&self, other: &Self) -> bool {
        let of = |terms: &Self| {
            let &Self { slot, pacing, plan, multiplier_max_ppm, target, .. } = terms;
            (slot.generation, pacing, plan, multiplier_max_ppm, target.is_some())
        };
        of(self) == of(other)
    }
}

/// All arms of one campaign; none where it has one strategy.
#[derive(Debug, Default)]
pub struct ArmPacing(Vec<Arm>);

#[derive(Debug)]
struct Arm {
    terms: ArmTerms,
    pacing: CampaignPacing,
    /// Billed since its controllers began, and on the present day.
    billed: Nanos,
    today: Nanos,
    /// Nanos placed lately.
    placed: f64,
    is_spent: bool,
}

impl ArmPacing {
    /// Takes on other terms. Arms that stay keep what they know; new ones get `fresh` controllers.
    #[must_use]
    pub fn with_terms(
        mut self,
        terms: &[ArmTerms],
        fresh: impl Fn(&ArmTerms) -> CampaignPacing,
    ) -> Self {
        let arms = terms.iter().map(|terms| {
            let known = self.0.iter().position(|arm| arm.terms.is_controlled_as(terms));
            match known.map(|at| self.0.swap_remove(at)) {
                Some(mut arm) => {
                    arm.pacing.aim_at(terms.target);
                    Arm { terms: *terms, ..arm }
                }
                None => Arm {
                    terms: *terms,
                    pacing: fresh(terms),
                    billed: Nanos::ZERO,
                    today: Nanos::ZERO,
                    placed: 0.0,
                    is_spent: false,
                },
            }
        });
        Self(arms.collect())
    }

    /// Adds what a core reports of the arm in the entry's slot, if one is there. The entry's held money
    /// is the campaign's.
    pub fn fold(&mut self, core: u16, entry: &LocalEntry) {
        let Some(at) = self.0.iter().position(|arm| arm.terms.slot == entry.slot) else { return };
        self.0[at].placed += entry.placed as f64;
        let all: f64 = self.0.iter().map(|arm| arm.placed).sum();
        let part = if all > 0.0 { self.0[at].placed / all } else { 0.0 };
        let of = |amount: Nanos| Nanos((amount.0 as f64 * part) as i128);
        let entry = LocalEntry { held: of(entry.held), late: of(entry.late), ..*entry };
        self.0[at].pacing.fold(core, &entry);
    }

    /// A bid of an arm was billed, on the present day or on one before.
    pub fn bill(&mut self, arm: u8, amount: Nanos, is_today: bool) {
        let Some(arm) = self.0.get_mut(usize::from(arm)) else { return };
        arm.billed += amount;
        if is_today {
            arm.today += amount;
        }
    }

    /// A conversion of an arm's bid; see [`CampaignPacing::convert`].
    pub fn convert(&mut self, arm: u8, at: Timestamp, touched_at: Timestamp, value: Nanos) {
        if let Some(arm) = self.0.get_mut(usize::from(arm)) {
            arm.pacing.convert(at, touched_at, value);
        }
    }

    /// Released conversions of the campaign; see [`CampaignPacing::release`]. They know no arms, so each
    /// arm has its share of them.
    pub fn release(&mut self, released: ReleasedSum) {
        for arm in &mut self.0 {
            arm.pacing.release(released.part(f64::from(arm.terms.share) / 100.0));
        }
    }

    /// A new day begins.
    pub fn turn_day(&mut self) {
        self.0.iter_mut().for_each(|arm| arm.today = Nanos::ZERO);
    }

    /// One tick of all arms; `input` is the campaign's. What was billed on this day before the arms
    /// began, such as before a restart, is nobody's: they share what it left.
    pub fn tick(&mut self, input: &TickInput, elapsed_ms: i64) {
        let shared = self.0.iter().fold(input.unbilled, |sum, arm| sum + arm.today);
        let kept = (-(elapsed_ms.max(0) as f64) / PLACED_HALF_LIFE_MS).exp2();
        for arm in &mut self.0 {
            arm.placed *= kept;
            let share = Nanos(shared.0 * i128::from(arm.terms.share) / 100);
            let left = (share - arm.today).max(Nanos::ZERO).min(input.unbilled);
            arm.pacing.tick(&TickInput { billed: arm.billed, unbilled: left, ..*input });
            arm.is_spent = left.0 as f64 <= arm.pacing.flight.expected();
        }
    }

    /// What auctions are to read, each in its slot.
    pub fn paces(&self) -> impl Iterator<Item = (Slot, Pace)> {
        self.0.iter().map(|arm| {
            let pace = arm.pacing.pace(arm.terms.slot.generation);
            (arm.terms.slot, if arm.is_spent { pace.spent() } else { pace })
        })
    }

    /// The state of each, for people.
    pub fn status(&self) -> impl Iterator<Item = PacingStatus> {
        self.0.iter().map(|arm| arm.pacing.status())
    }
}

#[cfg(test)]
#[path = "arms_tests.rs"]
mod tests;
