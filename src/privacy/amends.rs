//! What a ledger that lost records is charged in their place: every day of which something may have
//! been shown, at the dearest cost that is known, and so that nothing more is released on it.

use super::accountant::DAYS_MAX;
use super::config::Plan;
use super::ledger::{Books, DayCost, Entry, Record};
use std::ops::RangeInclusive;

/// The days behind the last one in `books` of which something may have been shown, where releases had
/// come to `until`: all of them, as far as they are remembered. Where nothing else is known, `until`
/// alone.
#[must_use]
pub fn unknown_days(books: &Books, until: i32) -> RangeInclusive<i32> {
    let remembered = until.saturating_sub(DAYS_MAX as i32 - 1);
    let first = books.today().map_or(until, |today| today.day.saturating_add(1));
    first.max(remembered)..=until
}

/// The records that charge those days, in order, in the name of `owner`: each at the dearest cost in
/// `books` or of `plan`, under a key that nobody has. `None` where neither says what a day costs.
#[must_use]
pub fn amends(books: &Books, until: i32, owner: u32, plan: Option<&Plan>) -> Option<Vec<Vec<u8>>> {
    let mut history = books.account().days().to_vec();
    let planned = plan.map(|plan| DayCost::of(plan, until));
    let cost = history.iter().chain(&planned).max_by_key(|cost| cost.rho())?.clone();
    let charged = match (books.today(), plan) {
        (Some(today), _) => today.charged.clone(),
        (None, Some(plan)) => plan.charged(cost.clone(), 0, Vec::new()),
        (None, None) => return None,
    };
    let mut records = Vec::new();
    for day in unknown_days(books, until) {
        let mut charged = charged.clone();
        charged.cost = DayCost { day, ..cost.clone() };
        charged.history.clone_from(&history);
        // No key has this digest, but by a chance of 2^-64.
        charged.key = 0;
        history.push(charged.cost.clone());
        if history.len() > DAYS_MAX {
            history.remove(0);
        }
        let record = Record::DayCharged(charged);
        records.push(Entry { owner, day, segment: 1, tick: 0, record }.encode());
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::tests::plan;
    use crate::privacy::{Config, Plan};

    fn fold(books: &mut Books, records: &[Vec<u8>]) {
        for record in records {
            let position = books.position() + 1;
            books.fold(position, record).unwrap();
        }
    }

    fn charged(books: &Books) -> Vec<i32> {
        books.account().days().iter().map(|cost| cost.day).collect()
    }

    #[test]
    fn every_day_behind_the_last_is_charged_once_and_as_the_dearest() {
        let mut books = Books::new();
        assert_eq!(amends(&books, 7, 3, None), None, "nothing says what a day costs");
        let first = amends(&books, 7, 3, Some(&plan())).unwrap();
        fold(&mut books, &first);
        assert_eq!(charged(&books), [7], "nothing is known of days before");
        let weak = Config { epsilon: 1.0, releases_per_day: 24, ..Config::default() };
        let weak = Plan::try_from(&weak).unwrap();
        let more = amends(&books, 10, 4, Some(&weak)).unwrap();
        fold(&mut books, &more);
        assert_eq!(charged(&books), [7, 8, 9, 10]);
        assert_eq!(books.owner(), 4);
        let days = books.account().days();
        assert!(days.iter().all(|cost| cost.rho() == days[0].rho()), "{days:?}");
        assert_eq!(amends(&books, 10, 4, None), Some(Vec::new()), "it is there already");
        // A ledger that is trimmed to its last charge has the same history.
        let mut trimmed = Books::new();
        trimmed.fold(9, more.last().unwrap()).unwrap();
        assert_eq!(trimmed.account(), books.account());
    }

    #[test]
    fn a_mark_from_far_ahead_charges_no_more_days_than_are_remembered() {
        let mut books = Books::new();
        let first = amends(&books, 7, 3, Some(&plan())).unwrap();
        fold(&mut books, &first);
        assert_eq!(amends(&books, i32::MAX, 3, None).unwrap().len(), DAYS_MAX);
        assert!(amends(&books, i32::MIN, 3, None).unwrap().is_empty());
    }
}
