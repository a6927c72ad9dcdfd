use super::*;

const DAY: i64 = 86_400_000;

/// Day `number` of a week that begins on a Monday.
const fn span(number: i64) -> DaySpan {
    let starts = Timestamp(number * DAY);
    DaySpan { starts, ends: starts.plus_millis(DAY), weekday: (number % 7) as u8 }
}

/// Lets days pass in minutes, with `rate(quarter)` auctions a minute.
fn pass(plan: &mut Plan, days: std::ops::Range<i64>, rate: impl Fn(usize) -> u32) {
    for minute in days.start * 1_440..days.end * 1_440 {
        let now = Timestamp(minute * 60_000);
        plan.tick(now, span(minute / 1_440));
        plan.fold(rate((minute % 1_440 / 15) as usize));
    }
}

fn shares(plan: &Plan, weekday: usize) -> [f64; 96] {
    plan.day(weekday).1
}

#[test]
fn traffic_is_learned_by_weekday_and_quarter_hour() {
    let even = Plan::new(PlanKind::Traffic, None);
    assert!(shares(&even, 0).iter().all(|share| (share * 96.0 - 1.0).abs() < 1e-9));
    let mut plan = Plan::new(PlanKind::Traffic, None);
    // Nothing by night, and the second week twice the first in its evenings.
    let busy = |q: usize| if q < 48 { 0 } else { 10 };
    pass(&mut plan, 0..7, busy);
    pass(&mut plan, 7..14, |q| if q >= 72 { 2 * busy(q) } else { busy(q) });
    let found = shares(&plan, 0);
    let sum: f64 = found.iter().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    // Relative traffic 0, 10, 15 (of 10 and 20 the mean): a tenth stays even.
    let even = 0.1 / 96.0;
    let unit = 0.9 / (24.0 * 25.0);
    for (q, expected) in [(0, even), (50, even + 10.0 * unit), (90, even + 15.0 * unit)] {
        assert!((found[q] / expected - 1.0).abs() < 0.01, "{q}: {} {expected}", found[q]);
    }
    // A weekday that was never seen has what the others have.
    let mut other = Plan::new(PlanKind::Traffic, None);
    pass(&mut other, 0..2, busy);
    let known = shares(&other, 3);
    assert!(known[90] > 10.0 * known[0], "{} {}", known[90], known[0]);
}

#[test]
fn what_is_left_is_measured_at_the_rate_of_now() {
    let mut plan = Plan::new(PlanKind::Even, None);
    plan.tick(Timestamp(DAY / 4), span(0));
    assert!((plan.left_ms(Timestamp(DAY / 4)) - 0.75 * DAY as f64).abs() < 1.0);
    let late = Timestamp(DAY - 60_000);
    plan.tick(late, span(0));
    assert!((plan.left_ms(late) - 60_000.0).abs() < 1.0);
}

#[test]
fn closed_hours_are_not_planned_for() {
    let hours = HourMask::parse(&["mon-fri 08-20".to_owned()]).expect("hours");
    let mut plan = Plan::new(PlanKind::Traffic, hours);
    let monday = shares(&plan, 0);
    let open = |q: usize| (32..80).contains(&q);
    for (q, share) in monday.iter().enumerate() {
        let expected = if open(q) { 1.0 / 48.0 } else { 0.0 };
        assert!((share - expected).abs() < 1e-9, "{q}: {share}");
    }
    plan.tick(Timestamp(0), span(0));
    assert!(plan.left_ms(Timestamp(0)).is_infinite(), "nothing is spent by night");
    assert!(shares(&plan, 5).iter().all(|share| *share == 0.0), "or on Saturday");
}

#[test]
fn damaged_memory_is_known_as_such() {
    assert!(Traffic::default().is_sound());
    assert!(!Traffic(vec![0.0; 5].into()).is_sound());
    assert!(!Traffic(vec![f32::NAN; WEEK * QUARTERS].into()).is_sound());
}
