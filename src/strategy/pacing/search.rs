//! The first search for the price level: larger steps until it has been passed once.
//!
//! A campaign without a yesterday starts from what its strategy guesses a value to be worth, which may
//! be wrong by a factor of thirty. The steps of a day that is under way would take a tenth of the day to
//! correct that.

/// By how much larger the steps are.
const FACTOR: f64 = 20.0;
/// Auctions over which the direction is told.
const LOOK: u32 = 50;
/// Part of a day's auctions after which the search ends in any case.
const PART_MAX: f64 = 0.05;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Search {
    is_over: bool,
    auctions: u32,
    change: f64,
    seen: f64,
    direction: Option<bool>,
}

impl Search {
    /// Auctions, and by how much they moved the multiplier's log.
    pub(super) fn fold(&mut self, auctions: u32, change: f64) {
        if !self.is_over {
            self.auctions = self.auctions.saturating_add(auctions);
            self.change += change;
        }
    }

    /// Whether the level was passed, on a day of so many auctions.
    pub(super) fn tick(&mut self, auctions_per_day: f64) {
        if self.is_over || self.auctions < LOOK || self.change == 0.0 {
            return;
        }
        self.seen += f64::from(self.auctions);
        let is_up = self.change > 0.0;
        let is_passed = self.direction.is_some_and(|before| before != is_up);
        self.is_over = is_passed || self.seen > PART_MAX * auctions_per_day;
        self.direction = Some(is_up);
        (self.auctions, self.change) = (0, 0.0);
    }

    /// What a step is multiplied by.
    pub(super) const fn factor(&self) -> f64 {
        if self.is_over { 1.0 } else { FACTOR }
    }
}
