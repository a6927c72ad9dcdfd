//! Budgets beyond the daily one: flights, and days that may take more than their own.

use super::check::{BUDGET_MICROS_MAX, Faults};
use crate::units::Nanos;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Flights of one campaign: a year of weeks, and then some. All of them travel in each edition of a
/// budget.
pub const FLIGHTS_MAX: usize = 64;
/// Days of one flight: a year. The ledger remembers more days than that one by one, and tells a
/// flight's account from them.
pub const FLIGHT_DAYS_MAX: i32 = 366;
/// Most that a day may take of its budget, in millionths: twice, as the large platforms have it.
pub const DAILY_MAX_PPM_MAX: u32 = 2 * PPM;
/// A whole, in millionths.
pub const PPM: u32 = 1_000_000;

/// A run of days of the campaign's own calendar with a budget of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Its first day.
    pub start: Date,
    /// Its last day.
    pub end: Date,
    /// What all its days together may cost.
    pub budget: Nanos,
}

/// A flight as the API has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlightTerms {
    /// First day, like "2026-03-01".
    pub start: LocalDate,
    /// Last day.
    pub end: LocalDate,
    /// What all its days together may cost, in micros.
    pub budget_micros: u64,
}

impl From<&FlightTerms> for Flight {
    fn from(terms: &FlightTerms) -> Self {
        let budget = Nanos::from_micros(terms.budget_micros);
        Self { start: terms.start.0, end: terms.end.0, budget }
    }
}

impl From<&Flight> for FlightTerms {
    fn from(flight: &Flight) -> Self {
        Self {
            start: LocalDate(flight.start),
            end: LocalDate(flight.end),
            budget_micros: super::edit::micros(flight.budget),
        }
    }
}

/// A date without a zone, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LocalDate(pub Date);

impl TryFrom<String> for LocalDate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        // The parser takes times behind the date, too, which a day has not.
        let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
        date.map(Self).ok_or_else(|| format!("`{text}` is no date such as \"2026-03-01\""))
    }
}

impl From<LocalDate> for String {
    fn from(LocalDate(date): LocalDate) -> Self {
        date.to_string()
    }
}

/// When a day may cost more than its budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overdelivery {
    /// The most that a day may take of its budget, and no more than earlier days of the calendar
    /// month left.
    pub daily_max_ratio: Ratio,
}

/// 1 to 2, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio {
    /// Millionths.
    pub ppm: u32,
}

impl Default for Ratio {
    fn default() -> Self {
        Self { ppm: PPM }
    }
}

impl TryFrom<f64> for Ratio {
    type Error = &'static str;
    fn try_from(ratio: f64) -> Result<Self, Self::Error> {
        let ppm = (ratio * f64::from(PPM)).round();
        if (f64::from(PPM)..=f64::from(DAILY_MAX_PPM_MAX)).contains(&ppm) {
            Ok(Self { ppm: ppm as u32 })
        } else {
            Err("a ratio lies between 1 (no day above its budget) and 2")
        }
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> Self {
        Self::from(ratio.ppm) / Self::from(PPM)
    }
}

/// Checks flights, in the order in which they were written.
pub(super) fn flights(faults: &mut Faults, flights: &[Flight]) {
    faults.unless(flights.len() <= FLIGHTS_MAX, "flights", || format!("more than {FLIGHTS_MAX}"));
    for (position, flight) in flights.iter().enumerate().take(FLIGHTS_MAX) {
        let key = format!("flights[{position}]");
        let days = (flight.end - flight.start).get_days();
        faults.unless((0..FLIGHT_DAYS_MAX).contains(&days), &key, || {
            let Flight { start, end, .. } = flight;
            format!("{start} to {end} is no run of 1 to {FLIGHT_DAYS_MAX} days")
        });
        faults.unless(is_budget(flight.budget), &key, || {
            "budget lies above 0 and up to a billion".to_owned()
        });
        for other in &flights[..position] {
            faults.unless(flight.end < other.start || other.end < flight.start, &key, || {
                format!("overlaps the flight from {} to {}", other.start, other.end)
            });
        }
    }
}

/// Above zero, and within what anybody spends.
pub(super) fn is_budget(amount: Nanos) -> bool {
    amount > Nanos::ZERO && amount <= Nanos::from_micros(BUDGET_MICROS_MAX)
}
