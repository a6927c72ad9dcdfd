//! Sizes of segments over restarts and crashes.

use super::*;
use crate::privacy::ledger::record::Digest;
use crate::units::{CategoryId, UserKey};

/// The same with sizes of segments.
fn with_segments() -> Plan {
    let mut config = Config { releases_per_day: 4, segments_rho_percent: 20, ..Config::default() };
    config.clicks.rho_percent -= 20;
    Plan::try_from(&config).unwrap()
}

fn join(machine: &mut Machine, users: u64, category: u32) {
    let segment = Segment { advertiser: None, category: CategoryId(category) };
    for user in (0..users).map(UserKey) {
        machine.bench.aggregate.join(&JoinSegment { user, at: Timestamp(0), segment });
    }
}

#[test]
fn sizes_of_segments_outlive_restarts_and_users_count_in_no_more_of_them() {
    let plan = with_segments();
    let mut machine = Machine::new(0);
    machine.restart(0, &plan);
    let told = |machine: &Machine| machine.bench.releases.segments().cloned();
    join(&mut machine, 400, 1);
    assert!(machine.tick(6 * HOUR_MS));
    for (hour, categories) in [(7, 2..=3), (13, 4..=4)] {
        machine.restart(hour * HOUR_MS, &plan);
        categories.for_each(|category| join(&mut machine, 400, category));
        assert!(machine.tick((hour + 5) * HOUR_MS));
        assert_eq!(told(&machine), None, "the day is not over");
    }
    assert!(machine.tick(DAY_MS));
    let day = told(&machine).unwrap();
    let found: Vec<_> = day.sizes.iter().map(|size| size.segment.category.0).collect();
    assert_eq!((day.day, found), (0, vec![1, 2, 3]), "the first three, from before the restart on");
    // Beyond 17 parameters of the noise: once in 10^7 times.
    assert!(day.sizes.iter().all(|size| (size.users - 400).abs() < 150), "{day:?}");
    for (tick, is_same) in [(4, true), (5, true), (8, false)] {
        machine.restart(tick * 6 * HOUR_MS + HOUR_MS, &plan);
        assert_eq!(told(&machine).as_ref() == Some(&day), is_same, "{tick}");
        assert!(machine.tick((tick + 1) * 6 * HOUR_MS) && told(&machine).is_some());
        if tick == 5 {
            assert!(machine.tick(2 * DAY_MS));
            let next = told(&machine).unwrap();
            assert_eq!((next.day, next.sizes), (1, Vec::new()), "nobody came");
        }
    }
    machine.verify();
}

#[test]
fn a_death_at_any_write_draws_no_size_twice() {
    let plan = with_segments();
    let run = |at: u32, reaches: bool| {
        let mut machine = Machine::new(0);
        machine.restart(0, &plan);
        machine.disk.lock().dies = Some((at, reaches));
        let mut shown: BTreeMap<i32, SegmentSizes> = BTreeMap::new();
        for tick in 1..=6_i64 {
            join(&mut machine, 200, 1);
            if !machine.tick(tick * 6 * HOUR_MS) {
                machine.restart(tick * 6 * HOUR_MS, &plan);
                assert_eq!(machine.stop, None, "death at write {at}, {reaches}");
            }
            if let Some(sizes) = machine.bench.releases.segments() {
                let first = shown.entry(sizes.day).or_insert_with(|| sizes.clone());
                assert_eq!(first, sizes, "death at write {at}, {reaches}");
            }
        }
        machine.verify();
        machine.disk.lock().writes
    };
    let writes = run(u32::MAX, true);
    for at in 1..=writes {
        for reaches in [false, true] {
            run(at, reaches);
        }
    }
}

/// A release of sizes behind what `books` have.
fn add_sizes(books: &mut Books, tick: u16, sizes: &SegmentSizes) -> Result<(), Wrong> {
    let entry = |record| Entry { owner: 9, day: 0, segment: 1, tick, record }.encode();
    let mut digest = Digest::default();
    for record in crate::privacy::segments::size_records(sizes) {
        let body = entry(record);
        digest.add(&body);
        books.fold(books.position() + 1, &body)?;
    }
    books.fold(books.position() + 1, &entry(Record::Committed(digest.commit(false))))
}

#[test]
fn sizes_that_are_not_paid_for_or_come_twice_are_no_ledger() {
    let again = Wrong::ReleasedTwice { day: 0, tick: 3 };
    for (plan, times, wrong) in [
        (plan(), 1, Some(Wrong::Unpaid(0))),
        (with_segments(), 1, None),
        (with_segments(), 2, Some(again)),
    ] {
        let mut machine = Machine::new(0);
        machine.restart(0, &plan);
        assert!(machine.tick(6 * HOUR_MS));
        let mut books = read(&machine.disk.lock(), Books::new()).unwrap();
        let sizes = SegmentSizes { day: 0, sizes: Vec::new(), least: 132, noise: 9.0 };
        let added = (2..2 + times).try_for_each(|tick| add_sizes(&mut books, tick, &sizes));
        assert_eq!(added.err(), wrong);
    }
}
