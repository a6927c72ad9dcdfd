//! The account tree: flights, months, exploration, pauses, adjustments. Tables as in `tests.rs`.
//! Day 1 is 2 January 1970; day 31 is 1 February.

use super::tests::{CAMPAIGN, check};
use super::*;
use crate::units::Nanos;

#[test]
fn a_flight_bounds_its_days_together_and_days_outside_have_nothing() {
    let ledger = check(
        "budget 100 flight 2 3 150 flight 5 5 40 -> set
         open 0 1 50 -> granted 0 short
         open 1 2 200 -> granted 100 short
         open 2 3 200 -> granted 50 short
         open 3 4 50 -> granted 0 short
         open 4 5 100 -> granted 40 short
         return 1 30 -> returned 30
         topup 2 100 -> granted 30 short
         settle 1 0 2 70 90 -> lease 70 free 0 absorbed 20
         close 2 -> closed
         settle 1 1 2 10 10 -> lease 0 free 10 absorbed 0
         balance 2 billed 80 late 0 leased 0",
    );
    let flight = ledger.view(CAMPAIGN, DayNumber(3)).and_then(|view| view.flight).expect("flown");
    assert_eq!((flight.first, flight.last), (DayNumber(2), DayNumber(3)));
    assert_eq!((flight.money.budget, flight.money.billed), (Some(Nanos(150)), Nanos(80)));
    assert_eq!(ledger.unbilled(CAMPAIGN, DayNumber(3)), Some(Nanos(70)));
    assert_eq!(ledger.unbilled(CAMPAIGN, DayNumber(4)), Some(Nanos::ZERO));
}

#[test]
fn flights_may_move_over_days_that_have_spent() {
    check(
        "budget 100 flight 1 2 100 -> set
         open 0 1 80 -> granted 80
         settle 0 0 1 80 80 -> lease 80 free 0 absorbed 0
         budget 100 from 2 flight 2 4 250 -> set
         open 1 2 100 -> granted 100
         budget 100 from 2 flight 1 4 150 -> set over
         topup 1 10 -> granted 0 short
         return 1 40 -> returned 40
         topup 1 100 -> granted 10 short
         budget 100 from 2 -> set
         topup 1 100 -> granted 30 short
         budget 100 from 2 flight 4 2 9 -> OutOfRange
         budget 100 from 2 flight 1 2 9 flight 2 3 9 -> OutOfRange
         budget 100 from 2 flight 1 2 -9 -> OutOfRange
         budget 100 from 2 flight 1 367 9 -> OutOfRange
         topup 1 100 -> granted 0 short",
    );
}

#[test]
fn a_day_may_take_more_only_of_what_the_months_earlier_days_left() {
    check(
        "budget 100 ratio 1500000 -> set
         open 0 1 200 -> granted 100 short
         settle 0 0 1 30 30 -> lease 30 free 0 absorbed 0
         open 1 2 200 -> granted 100 short
         return 0 20 -> returned 20
         topup 1 200 -> granted 20 short
         close 0 -> closed
         topup 1 200 -> granted 30 short
         balance 2 billed 0 late 0 leased 150
         open 2 31 500 -> granted 100 short
         settle 0 1 1 40 40 -> lease 0 free 20 absorbed 20
         budget 100 from 31 ratio 2000001 -> OutOfRange
         budget 100 from 31 ratio 999999 -> OutOfRange",
    );
}

#[test]
fn over_delivery_that_is_asked_for_within_a_month_counts_its_earlier_days() {
    check(
        "budget 100 -> set
         open 0 1 60 -> granted 60
         open 1 2 500 -> granted 100 short
         budget 100 from 2 ratio 2000000 -> set
         topup 1 500 -> granted 40 short
         budget 50 from 2 ratio 2000000 -> set over
         return 1 20 -> returned 20 over
         return 1 40 -> returned 40
         topup 1 500 -> granted 10 short",
    );
}

#[test]
fn exploration_is_bounded_within_its_day() {
    let ledger = check(
        "budget 1000 exploration 100000 -> set
         open 0 1 500 explore -> granted 100 short
         open 1 1 2000 -> granted 900 short
         settle 0 0 1 60 60 -> lease 60 free 0 absorbed 0
         settle 0 1 1 40 50 -> lease 40 free 0 absorbed 10
         close 1 -> closed
         topup 0 10 -> granted 0 short
         settle 0 2 1 10 10 -> lease 0 free 0 absorbed 10
         budget 1000 exploration 50000 -> set over
         open 2 1 10 explore -> granted 0 short
         open 3 1 10 -> granted 10
         budget 1000 exploration 100001 -> OutOfRange",
    );
    let view = ledger.view(CAMPAIGN, DayNumber(1)).expect("known");
    assert_eq!((view.explore.billed, view.explore.leased), (Nanos(100), Nanos::ZERO));
    assert_eq!((view.day.billed, view.day.leased), (Nanos(100), Nanos(10)));
}

#[test]
fn a_paused_campaign_is_granted_nothing_and_still_pays_its_bills() {
    check(
        "budget 1000 -> set
         open 0 1 100 -> granted 100
         budget 1000 paused -> set
         topup 0 50 -> granted 0 short
         open 1 1 50 -> granted 0 short
         settle 0 0 1 100 120 -> lease 100 free 20 absorbed 0
         budget 1000 -> set
         topup 0 50 -> granted 50",
    );
}

#[test]
fn a_tree_has_one_currency() {
    check(
        "budget 1000 euro -> set
         budget 2000 -> Currency
         open 0 1 5000 -> granted 1000 short",
    );
}

#[test]
fn an_adjustment_is_made_once_and_never_beyond_a_bound_or_below_zero() {
    let ledger = check(
        "budget 1000 lifetime 1050 -> set
         open 0 1 600 -> granted 600
         settle 0 0 1 600 600 -> lease 600 free 0 absorbed 0
         adjust 1 -100 a -> adjusted -100 absorbed 0
         adjust 1 -100 a -> duplicate
         adjust 1 -99 a -> contradiction
         adjust 2 -100 a -> contradiction
         adjust 1 -501 b -> Unbilled
         adjust 1 -500 b -> adjusted -500 absorbed 0
         adjust 2 -1 c -> Unbilled
         adjust 1 1200 c -> adjusted 1000 absorbed 200
         adjust 2 100 d -> adjusted 50 absorbed 50
         adjust 1 0 e -> OutOfRange
         balance 1 billed 1000 late 0 leased 0",
    );
    let view = ledger.view(CAMPAIGN, DayNumber(1)).expect("known");
    assert_eq!((view.total.billed, view.total.absorbed), (Nanos(1_050), Nanos(250)));
    assert_eq!(view.adjusted, Nanos(700));
    assert_eq!((view.total.billed + view.total.absorbed) - view.adjusted, Nanos(600), "one bill");
    let long = "k".repeat(ADJUST_KEY_BYTES_MAX + 1);
    check(&format!("budget 1000 -> set\n adjust 1 5 {long} -> OutOfRange"));
}

#[test]
fn a_campaign_remembers_so_many_days_and_its_sums_stay() {
    use std::fmt::Write as _;
    let mut table = "budget 10 ratio 1100000 -> set\n".to_owned();
    for day in 1..=440 {
        writeln!(table, "open 0 {day} 0 -> {}", if day == 1 { "granted 0" } else { "duplicate" })
            .expect("a string");
        writeln!(table, "adjust {day} 10 k{day} -> adjusted 10 absorbed 0").expect("a string");
    }
    // Days 41 to 440 are left, in the fourteen months from February 1970 to March 1971. A forgotten
    // day is not opened again, since its adjustments are forgotten, too; and one with a lease is not
    // forgotten.
    table.push_str(
        "adjust 40 10 k40 -> TooOld
         adjust 40 -10 k40 -> Unbilled
         adjust 41 10 k41 -> duplicate
         open 1 40 0 -> TooOld
         adjust 41 -10 r41 -> adjusted -10 absorbed 0
         open 2 41 5 -> granted 5
         adjust 460 10 k460 -> Full
         close 2 -> closed
         adjust 460 10 k460 -> adjusted 10 absorbed 0
         adjust 41 10 k41 -> TooOld
         adjust 42 -10 k42 -> contradiction
         adjust 441 10 k42 -> contradiction",
    );
    let ledger = check(&table);
    let view = ledger.view(CAMPAIGN, DayNumber(440)).expect("known");
    assert_eq!((view.total.billed, view.month.billed), (Nanos(4_400), Nanos(170)));
    assert_eq!(view.month.budget, Some(Nanos(170)));
    let lines = ledger.statement(None).accounts;
    let of = |level| lines.iter().filter(move |line| line.level == level);
    assert_eq!((of(Level::Day).count(), of(Level::Month).count()), (400, 15), "with April");
    assert_eq!(of(Level::Month).next().and_then(|line| line.first), Some(DayNumber(31)));
}

#[test]
fn adjustments_beyond_what_can_be_remembered_are_refused() {
    let mut ledger = check("budget 100000 -> set");
    let mut adjust = |number: u32| {
        let (day, amount, key) = (DayNumber(1), Nanos(1), number.to_string());
        let (campaign, reason) = (CAMPAIGN, AdjustReason::Correction);
        let command = Command::Adjust { campaign, day, amount, reason, key };
        apply(&mut ledger, crate::units::Timestamp(0), &command)
    };
    for number in 0..1 << 16 {
        assert!(matches!(adjust(number), Outcome::Adjusted { .. }), "{number}");
    }
    assert_eq!(adjust(1 << 16), Outcome::Refused(Refusal::Full));
    assert_eq!(adjust(0), Outcome::Duplicate);
}

#[test]
fn no_day_before_an_edition_is_opened_with_its_money() {
    check(
        "budget 100 from 5 -> set
         open 0 4 50 -> granted 0 short
         open 1 5 50 -> granted 50
         adjust 3 10 a -> adjusted 0 absorbed 10",
    );
}

#[test]
fn days_outside_of_a_flight_do_not_count_in_it() {
    let ledger = check(
        "budget 100 -> set
         open 0 1 60 -> granted 60
         settle 0 0 1 60 60 -> lease 60 free 0 absorbed 0
         open 1 4 60 -> granted 60
         settle 1 0 4 60 60 -> lease 60 free 0 absorbed 0
         budget 100 flight 2 3 50 flight 6 7 50 -> set over
         adjust 4 -20 a -> adjusted -20 absorbed 0
         open 2 3 100 -> granted 50 short",
    );
    let view = |day| ledger.view(CAMPAIGN, DayNumber(day)).expect("known");
    assert_eq!((view(4).flight, view(1).flight, view(4).day.billed), (None, None, Nanos(40)));
    let flown = view(2).flight.expect("a flight").money;
    assert_eq!((flown.billed, flown.leased), (Nanos::ZERO, Nanos(50)));
}

#[test]
fn a_month_is_bound_by_the_sum_of_its_days_and_no_more() {
    // As days open, and as an edition counts them again.
    for edition in ["", "budget 100 from 1 ratio 2000000 -> set\n"] {
        check(&format!(
            "budget 100 ratio 2000000 -> set
             open 0 1 0 -> granted 0
             open 1 2 500 -> granted 200 short
             {edition}open 2 3 500 -> granted 100 short
             adjust 3 200 a -> adjusted 0 absorbed 200"
        ));
    }
}
