//! Days: numbers in the ledger, the campaign's own calendar outside it.

use crate::units::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A calendar day of a campaign's time zone: days since 1970-01-01 by the local calendar.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DayNumber(pub i32);

/// Day 0.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// Days of a week.
const WEEK: i32 = 7;

impl DayNumber {
    /// The number of a date.
    #[must_use]
    pub fn of(date: Date) -> Self {
        Self((date - EPOCH).get_days())
    }

    /// The day of `zone` that holds `now`.
    #[must_use]
    pub fn at(now: Timestamp, zone: &TimeZone) -> Self {
        Day::of(now, zone).number
    }

    /// 0 for Monday to 6.
    #[must_use]
    pub const fn weekday(self) -> u8 {
        // 1970 began on a Thursday.
        (self.0.rem_euclid(WEEK) + 3).rem_euclid(WEEK) as u8
    }

    /// The date; `None` beyond the calendar's ends.
    #[must_use]
    pub fn date(self) -> Option<Date> {
        EPOCH.checked_add(Span::new().try_days(self.0).ok()?).ok()
    }

    /// The first day of its calendar month; the day itself beyond the calendar's ends.
    #[must_use]
    pub fn month(self) -> Self {
        self.date().map_or(self, |date| Self::of(date.first_of_month()))
    }
}

impl fmt::Display for DayNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            Some(date) => date.fmt(formatter),
            None => self.0.fmt(formatter),
        }
    }
}

/// A local day with its limits in civil time: 23 to 25 hours long where clocks are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// Its number.
    pub(super) number: DayNumber,
    /// Its first instant.
    pub(super) starts: Timestamp,
    /// The first instant of the next.
    pub(super) ends: Timestamp,
}

impl Day {
    /// The day of `zone` that holds `now`; the UTC day at the ends of the calendar, where the
    /// local one cannot be computed.
    pub(super) fn of(now: Timestamp, zone: &TimeZone) -> Self {
        Self::local(now, zone).unwrap_or_else(|| {
            let number = now.utc_day();
            let starts = Timestamp(i64::from(number) * DAY_MS);
            Self { number: DayNumber(number), starts, ends: starts.plus_millis(DAY_MS) }
        })
    }

    fn local(now: Timestamp, zone: &TimeZone) -> Option<Self> {
        let instant = jiff::Timestamp::from_millisecond(now.0).ok()?;
        let date = instant.to_zoned_datetime(zone.clone()).date();
        let next = date.checked_add(1.day()).ok()?;
        let start = |date: Date| {
            let midnight = date.to_zoned_datetime(zone.clone()).ok()?;
            Some(Timestamp(midnight.timestamp().as_millisecond()))
        };
        Some(Self { number: DayNumber::of(date), starts: start(date)?, ends: start(next)? })
    }
}

const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dates_and_every_number_has_a_month() {
        let date = |text: &str| text.parse::<Date>().expect("a date");
        assert_eq!(DayNumber::of(date("2026-03-29")), DayNumber(20_541));
        assert_eq!(DayNumber(20_541).month(), DayNumber::of(date("2026-03-01")));
        assert_eq!(DayNumber(-1).to_string(), "1969-12-31");
        for end in [i32::MIN, i32::MAX] {
            assert_eq!(DayNumber(end).month(), DayNumber(end));
        }
    }

    #[test]
    fn days_follow_the_campaigns_own_clock() {
        let zone = |name| TimeZone::get(name).expect("bundled");
        let (berlin, cairo) = (zone("Europe/Berlin"), zone("Africa/Cairo"));
        let havana = zone("America/Havana");
        let at = |day: i64, hour: i64| day * DAY_MS + hour * 3_600_000;
        for (zone, now, number, hours) in [
            (&TimeZone::UTC, 0, 0, 24),
            (&TimeZone::UTC, -1, -1, 24),
            // 2026-03-29, when Berlin's clocks go forward; 2026-10-25, when they go back.
            (&berlin, 1_774_738_800_000, 20_541, 23),
            (&berlin, 1_774_738_799_999, 20_540, 24),
            (&berlin, 1_792_879_200_000, 20_751, 25),
            // 2026-04-24 in Cairo begins at one o'clock: there is no midnight.
            (&cairo, at(20_566, 22) - 1, 20_566, 24),
            (&cairo, at(20_566, 22), 20_567, 23),
            (&cairo, at(20_567, 21), 20_568, 24),
            // 2026-11-01 in Havana has two midnights.
            (&havana, at(20_758, 4), 20_758, 25),
            (&havana, at(20_758, 5), 20_758, 25),
            (&havana, at(20_759, 5), 20_759, 24),
        ] {
            let day = Day::of(Timestamp(now), zone);
            assert_eq!(
                (day.number, day.ends.millis_since(day.starts)),
                (DayNumber(number), hours * 3_600_000)
            );
            assert!(day.starts <= Timestamp(now) && Timestamp(now) < day.ends);
        }
    }
}
