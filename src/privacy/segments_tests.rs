use super::*;
use crate::privacy::{Account, Bounder};
use proptest::prelude::*;

fn segment(category: u32) -> Segment {
    Segment { advertiser: None, category: CategoryId(category) }
}

fn plan() -> Plan {
    let mut config = Config { segments_rho_percent: 20, ..Config::default() };
    config.clicks.rho_percent -= 20;
    Plan::try_from(&config).unwrap()
}

/// What a day's visits, as (user, category), come to.
fn counts(plan: &Plan, visits: impl Iterator<Item = (u64, u32)>) -> SegmentCounts {
    let mut bounder = Bounder::new(plan, 7);
    let mut counts = SegmentCounts::default();
    for (user, category) in visits {
        if bounder.admit_segment(Pseudonym(user), segment(category)).is_ok() {
            counts.count(segment(category));
        }
    }
    counts
}

fn released(visits: impl Iterator<Item = (u64, u32)>, noise: i64) -> SegmentSizes {
    let plan = plan();
    let mut account = Account::default();
    let cost = account.ask(&plan, 7).unwrap();
    assert!(account.note(cost));
    let paid = account.paid(1, 0).unwrap().take(0).unwrap();
    let mut source = NoiseSource::planted(move || noise);
    SegmentPlan::of(&plan).unwrap().release(7, counts(&plan, visits), &paid, &mut source).unwrap()
}

#[test]
fn a_segment_is_shown_from_the_bar_on() {
    let least = SegmentPlan::of(&plan()).unwrap().threshold.tau();
    assert!(least > USERS_MIN, "{least}");
    for (users, noise, shown) in [
        (least - 1, 0, None),
        (least, 0, Some(least)),
        (least - 1, 1, Some(least)),
        (least, -1, None),
        (5 * least, -3, Some(5 * least - 3)),
    ] {
        // Twice: a user counts once.
        let visits = (0..2 * users as u64).map(|visit| (visit / 2, 1));
        let SegmentSizes { day, sizes, least: bar, .. } = released(visits, noise);
        assert_eq!((day, bar), (7, least));
        let found: Vec<_> = sizes.iter().map(|size| size.users).collect();
        assert_eq!(found, shown.into_iter().collect::<Vec<_>>(), "{users} {noise}");
    }
}

#[test]
fn below_fifty_nothing_is_shown_however_low_the_bar() {
    let mut config = Config { epsilon: 32.0, allow_weak: true, delta: 1e-4, ..Config::default() };
    (config.users_max, config.segments_rho_percent) = (10_000, 80);
    (config.clicks.rho_percent, config.segments_per_user) = (2, 1);
    let plan = Plan::try_from(&config).unwrap();
    let own = SegmentPlan::of(&plan).unwrap();
    assert!(own.threshold.tau() < USERS_MIN, "{:?}", own.threshold);
    let mut day = Account::default();
    let cost = day.ask(&plan, 7).unwrap();
    assert!(day.note(cost));
    let mut day = day.paid(2, 0).unwrap();
    for (interval, users, is_shown) in [(0, 49, false), (1, 50, true)] {
        let visits = (0..users).map(|user| (user, 1));
        let mut source = NoiseSource::planted(|| 0);
        let paid = day.take(interval).unwrap();
        let sizes = own.release(7, counts(&plan, visits), &paid, &mut source).unwrap();
        assert_eq!((sizes.least, !sizes.sizes.is_empty()), (50, is_shown), "{users}");
    }
}

#[test]
fn noise_and_bar_cost_no_more_than_their_part() {
    let plan = plan();
    let own = SegmentPlan::of(&plan).unwrap();
    assert!(own.threshold.delta() <= plan.segments_delta() && plan.segments_delta() > 0.0);
    // A user is in L0 segments: b = L0 / epsilon.
    let epsilon = f64::from(plan.segments_per_user()) / own.noise.as_f64();
    let share = plan.segments_rho().as_f64();
    let cost = epsilon * epsilon / 2.0;
    assert!(cost <= share && cost > 0.98 * share, "{cost} of {share}");
    // One user, L0 segments: each stays hidden but for its part of delta.
    let b = own.noise.as_f64();
    let shown = |bar: i64| {
        let one = (-(bar as f64 - 1.0) / b).exp() / (1.0 + (-1.0 / b).exp());
        1.0 - (1.0 - one).powi(plan.segments_per_user().into())
    };
    let tau = own.threshold.tau();
    assert!(shown(tau) <= plan.segments_delta() && shown(tau - 1) > plan.segments_delta());
    assert!(plan.claim().to_string().contains("5e-7 of delta"), "{}", plan.claim());
    assert!(SegmentPlan::of(&Plan::try_from(&Config::default()).unwrap()).is_none());
}

#[test]
fn nineteen_in_twenty_sizes_lie_within_the_margin() {
    for noise in [0.5, 3.0, 17.25] {
        let sizes = SegmentSizes { day: 0, sizes: Vec::new(), least: USERS_MIN, noise };
        let beyond =
            |k: i64| 2.0 * (-(k as f64 + 1.0) / noise).exp() / (1.0 + (-1.0 / noise).exp());
        let margin = sizes.margin_95();
        assert!(beyond(margin) <= 0.05 && beyond(margin - 1) > 0.05, "{noise}: {margin}");
    }
}

#[test]
fn records_come_back_in_their_pieces_and_damaged_ones_do_not() {
    let sizes = (0..SIZES_MAX as u32 + 9)
        .map(|category| SegmentSize { segment: segment(category), users: i64::MAX });
    let all = SegmentSizes { day: 7, sizes: sizes.collect(), least: 60, noise: 4.5 };
    let bytes = |records: Vec<Record>| -> Vec<Vec<u8>> {
        let bytes = records.into_iter().map(|record| match record {
            Record::Other { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        });
        bytes.collect()
    };
    let records = bytes(size_records(&all));
    assert!(records.len() == 2 && records.iter().all(|one| one.len() < CHUNK_BYTES));
    let mut found = None;
    assert!(records.iter().all(|bytes| take_sizes(bytes, &mut found).is_some()));
    assert_eq!(found.as_ref(), Some(&all));
    let other = bytes(size_records(&SegmentSizes { day: 8, ..all.without_sizes() }));
    assert_eq!(take_sizes(&other[0], &mut found), None, "of another day");
    let nothing = bytes(size_records(&SegmentSizes { noise: f64::NAN, ..all.without_sizes() }));
    assert_eq!(take_sizes(&nothing[0], &mut None), None);
    assert_eq!(take_sizes(&records[0][..9], &mut None), None);

    let (key, other) = (DayKey::draw().unwrap(), DayKey::draw().unwrap());
    let at = Segment { advertiser: Some(AdvertiserId(u64::MAX)), category: CategoryId(u32::MAX) };
    let joined = vec![Joined::new(Pseudonym(u64::MAX), at); JOINED_MAX + 1];
    let sealed = bytes(joined_records(&key, joined).unwrap());
    assert!(sealed.len() == 2 && sealed.iter().all(|one| one.len() < CHUNK_BYTES + 4_096));
    let sealed: Vec<_> = sealed.into_iter().map(|one| (Part::Segments.place(), one)).collect();
    assert_eq!(joined_in(&sealed, &key).map(|all| all.len()), Some(JOINED_MAX + 1));
    assert!(joined_in(&sealed, &other).is_none());
}

proptest! {
    #[test]
    fn taking_a_users_day_away_changes_few_sizes_by_one(
        visits in prop::collection::vec((0_u64..5, 0_u32..6), 0..80),
    ) {
        let plan = plan();
        let of = |without: Option<u64>| {
            let visits = visits.iter().copied();
            counts(&plan, visits.filter(|(user, _)| Some(*user) != without)).0
        };
        let (all, others) = (of(None), of(Some(0)));
        let count = |counts: &BTreeMap<Segment, u64>, category| {
            counts.get(&segment(category)).copied().unwrap_or(0)
        };
        let gone: Vec<_> = (0..6).map(|one| count(&all, one) - count(&others, one)).collect();
        prop_assert!(gone.iter().all(|gone| *gone <= 1), "{:?}", gone);
        prop_assert!(gone.iter().sum::<u64>() <= u64::from(plan.segments_per_user()), "{:?}", gone);
    }
}
