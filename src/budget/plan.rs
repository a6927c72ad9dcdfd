//! What an advertiser allows: the terms of a campaign's money, as one edition of them.

use super::account::{AMOUNT_MAX, Refusal};
use super::day::DayNumber;
use crate::catalog::{DAILY_MAX_PPM_MAX, FLIGHT_DAYS_MAX, FLIGHTS_MAX, PPM};
use crate::units::{CurrencyCode, Nanos};
use serde::{Deserialize, Serialize};

/// Most of a day that exploration may take: a tenth.
pub const EXPLORATION_PPM_MAX: u32 = PPM / 10;

/// The money of a campaign: bounds in nanos of its currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The currency of the advertiser's whole tree.
    pub currency: CurrencyCode,
    /// The advertiser's bound over all campaigns and days; the same in each of his campaigns.
    pub advertiser_bound: Option<Nanos>,
    /// The campaign's bound over all days.
    pub lifetime: Option<Nanos>,
    /// What a local day is to cost.
    pub daily: Nanos,
    /// In the order of their days. Where there are any, a day outside of all has a bound of zero.
    pub flights: Vec<Flight>,
    /// What a day may take of `daily`, in millionths, from [`PPM`] (exactly that) to
    /// [`DAILY_MAX_PPM_MAX`]; more than `daily` only out of what earlier days of the month left.
    pub daily_max_ppm: u32,
    /// What exploration may take of `daily`, in millionths, up to [`EXPLORATION_PPM_MAX`].
    pub exploration_ppm: u32,
    /// Whether anything is granted at all.
    pub is_active: bool,
}

/// A run of local days with a budget of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// Its first day.
    pub first: DayNumber,
    /// Its last day.
    pub last: DayNumber,
    /// What all its days together may cost.
    pub bound: Nanos,
}

impl Flight {
    /// Whether `day` is one of its days.
    #[must_use]
    pub fn has(&self, day: DayNumber) -> bool {
        (self.first..=self.last).contains(&day)
    }
}

impl Budget {
    /// Nothing but a daily budget, in dollars.
    #[must_use]
    pub const fn daily(daily: Nanos) -> Self {
        Self {
            currency: CurrencyCode::USD,
            advertiser_bound: None,
            lifetime: None,
            daily,
            flights: Vec::new(),
            daily_max_ppm: PPM,
            exploration_ppm: 0,
            is_active: true,
        }
    }

    /// What `day` is to cost.
    #[must_use]
    pub fn on(&self, day: DayNumber) -> Nanos {
        let is_flown = self.flights.is_empty() || self.flights.iter().any(|one| one.has(day));
        if is_flown { self.daily } else { Nanos::ZERO }
    }

    /// Amounts and shares within their limits, flights in order and apart.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let bounds = self.flights.iter().map(|flight| flight.bound);
        let optional = [self.advertiser_bound, self.lifetime, Some(self.daily)];
        for amount in optional.into_iter().flatten().chain(bounds) {
            in_range(amount)?;
        }
        let is_apart = self.flights.windows(2).all(|pair| pair[0].last < pair[1].first);
        let is_short = |flight: &Flight| {
            let days = i64::from(flight.last.0) - i64::from(flight.first.0);
            (0..i64::from(FLIGHT_DAYS_MAX)).contains(&days)
        };
        let holds = is_apart
            && self.flights.len() <= FLIGHTS_MAX
            && self.flights.iter().all(is_short)
            && (PPM..=DAILY_MAX_PPM_MAX).contains(&self.daily_max_ppm)
            && self.exploration_ppm <= EXPLORATION_PPM_MAX;
        holds.then_some(()).ok_or(Refusal::OutOfRange)
    }
}

/// So many millionths of `amount`, rounded down.
pub(super) fn share(amount: Nanos, ppm: u32) -> Nanos {
    Nanos(amount.0 * i128::from(ppm) / i128::from(PPM))
}

/// The amount, where it is one that a command may name.
pub(super) fn in_range(amount: Nanos) -> Result<Nanos, Refusal> {
    (amount >= Nanos::ZERO && amount <= AMOUNT_MAX).then_some(amount).ok_or(Refusal::OutOfRange)
}

/// What a lease's bids are for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Purpose {
    /// What the campaign is for.
    #[default]
    Serve,
    /// Bids made to learn from: they count in the day, and in its exploration account as well.
    Explore,
}
