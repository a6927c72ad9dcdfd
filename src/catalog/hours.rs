//! Hours of the week in a campaign's own time zone, written as people say them: "mon-fri 08-20".
//!
//! A mask has one bit for each local hour of the week. Daylight saving is the time zone's affair:
//! local time decides, so an hour that is skipped in spring is not served and one that comes twice
//! in autumn is served twice.

use crate::units::Timestamp;
use jiff::tz::TimeZone;

/// Hours in a week.
const HOURS: usize = 7 * 24;

/// Entries in one list of hours: a week has 168 hours, so nobody needs more.
const ENTRIES_MAX: usize = HOURS;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Which hours of a local week are on; bit 0 is Monday, 00:00 to 01:00.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourMask([u64; 3]);

impl HourMask {
    /// Reads entries such as "mon-fri 08-20", "sat,sun 10-18", "daily 22-02" (past midnight the
    /// hours belong to the next day). `None` for an empty list: every hour.
    ///
    /// # Errors
    /// What is wrong with the first entry that cannot be read.
    pub fn parse(entries: &[String]) -> Result<Option<Self>, String> {
        if entries.len() > ENTRIES_MAX {
            return Err(format!("more than {ENTRIES_MAX} entries of hours"));
        }
        let mut mask = Self::default();
        for entry in entries {
            mask.add(entry).map_err(|reason| {
                format!("hours `{entry}`: {reason}; write them like \"mon-fri 08-20\"")
            })?;
        }
        Ok((!entries.is_empty()).then_some(mask))
    }

    /// Whether the local hour of the week is on; `hour` counts from Monday midnight, below 168.
    #[must_use]
    pub const fn has(&self, hour: usize) -> bool {
        self.0[hour / 64] & (1 << (hour % 64)) != 0
    }

    fn add(&mut self, entry: &str) -> Result<(), String> {
        let (days, hours) = entry.trim().split_once(' ').ok_or("days and hours are needed")?;
        let (from, to) = hours.trim().split_once('-').ok_or("hours need a start and an end")?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` is no hour"));
        let (from, to) = (number(from)?, number(to)?);
        if from > 23 || to > 24 || from == to {
            return Err("hours run from 00-23 to 01-24 and differ".to_owned());
        }
        let length = if to > from { to - from } else { 24 - from + to };
        for day in days_of(days)? {
            for hour in 0..length {
                let hour = (day * 24 + from + hour) % HOURS;
                self.0[hour / 64] |= 1 << (hour % 64);
            }
        }
        Ok(())
    }
}

fn days_of(text: &str) -> Result<Vec<usize>, String> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok((0..7).collect());
    }
    let day = |name: &str| {
        let found = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("`{name}` is none of mon tue wed thu fri sat sun daily"))
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7; // "fri-mon" runs over the weekend
        days.extend((0..=length).map(|step| (first + step) % 7));
    }
    Ok(days)
}

/// The local hour of the week of this moment in this zone, from 0 (Monday, midnight) to 167.
#[must_use]
pub(super) fn hour_of_week(now: Timestamp, zone: &TimeZone) -> usize {
    // Only a clock outside of years -9999 to 9999 is out of range; it is taken for the epoch.
    let moment = jiff::Timestamp::from_millisecond(now.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let local = zone.to_datetime(moment);
    let day = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
    (day * 24 + usize::from(local.hour().unsigned_abs())).min(HOURS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(entries: &[&str]) -> Result<Option<HourMask>, String> {
        HourMask::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn entries_read_as_people_say_them() {
        for (entry, on, off) in [
            ("mon-fri 08-20", vec![8, 19, 4 * 24 + 8], vec![7, 20, 5 * 24 + 8]),
            ("sat,sun 10-18", vec![5 * 24 + 10, 6 * 24 + 17], vec![10, 6 * 24 + 18]),
            ("daily 00-24", vec![0, 167], vec![]),
            ("sun 22-02", vec![6 * 24 + 23, 0, 1], vec![2, 6 * 24 + 2]),
            ("fri-mon 09-10", vec![9, 4 * 24 + 9, 6 * 24 + 9], vec![24 + 9, 3 * 24 + 9]),
        ] {
            let mask = mask(&[entry]).expect(entry).expect(entry);
            assert!(on.iter().all(|hour| mask.has(*hour)), "{entry} on");
            assert!(!off.iter().any(|hour| mask.has(*hour)), "{entry} off");
        }
        assert_eq!(mask(&[]), Ok(None));
    }

    #[test]
    fn wrong_entries_say_what_is_wrong() {
        for (entry, expected) in [
            ("mon", "days and hours are needed"),
            ("mon 8", "a start and an end"),
            ("noday 08-20", "none of mon"),
            ("mon 08-25", "hours run from"),
            ("mon 08-08", "differ"),
            ("mon x-9", "`x` is no hour"),
        ] {
            let error = mask(&[entry]).expect_err(entry);
            assert!(error.contains(expected), "{error}");
        }
    }

    /// Berlin: UTC+1 in winter, UTC+2 from 2026-03-29 01:00 UTC; Kathmandu is at UTC+5:45.
    #[test]
    fn local_hours_follow_daylight_saving() {
        for (utc, zone, expected) in [
            ("2026-03-28T07:00:00Z", "Europe/Berlin", 5 * 24 + 8),
            ("2026-03-29T00:59:59Z", "Europe/Berlin", 6 * 24 + 1),
            ("2026-03-29T01:00:00Z", "Europe/Berlin", 6 * 24 + 3),
            ("2026-03-30T06:00:00Z", "Europe/Berlin", 8),
            ("2026-10-25T00:30:00Z", "Europe/Berlin", 6 * 24 + 2),
            ("2026-10-25T01:30:00Z", "Europe/Berlin", 6 * 24 + 2),
            ("2026-10-25T02:00:00Z", "Europe/Berlin", 6 * 24 + 3),
            ("2026-03-30T02:14:00Z", "Asia/Kathmandu", 7),
            ("2026-03-30T02:15:00Z", "Asia/Kathmandu", 8),
        ] {
            let moment: jiff::Timestamp = utc.parse().expect("a time");
            let zone = TimeZone::get(zone).expect("a zone");
            let now = Timestamp(moment.as_millisecond());
            assert_eq!(hour_of_week(now, &zone), expected, "{utc}");
        }
    }
}
