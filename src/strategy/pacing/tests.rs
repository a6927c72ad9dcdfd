use super::*;
use crate::units::{Micros, Slot};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

const SLOT: Slot = Slot { index: 3, generation: 1 };
const DAY: i64 = 86_400_000;
const SPAN: DaySpan = DaySpan { starts: Timestamp(0), ends: Timestamp(DAY), weekday: 3 };
const TICK_MS: i64 = 60_000;
const WINDOW_MS: i64 = 3_600_000;

/// A market of second prices, exponential around 1.0 CPM, and a campaign of value `value`.
struct Day {
    rng: ChaCha8Rng,
    value: f64,
    budget: f64,
    auctions_per_tick: usize,
    /// Share of the losses that nobody tells of: they hold their money for [`WINDOW_MS`].
    untold: f64,
}

#[derive(Default)]
struct Ran {
    spent: f64,
    spent_out_at: Option<f64>,
    by_hour: Vec<f64>,
    conversions_by_hour: Vec<f64>,
    ln_cpa: Vec<f64>,
}

fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0
}

impl Day {
    /// Runs a day under `pacing`; `rate(share of day)` is conversions per impression, which come
    /// an hour late on average.
    fn run(&mut self, pacing: &mut CampaignPacing, rate: impl Fn(f64) -> f64) -> Ran {
        let mut local = LocalPacing::new(0);
        let mut ran =
            Ran { by_hour: vec![0.0; 24], conversions_by_hour: vec![0.0; 24], ..Ran::default() };
        let mut snapshot = PacingSnapshot::default();
        let mut coming = BinaryHeap::new();
        let mut frozen: VecDeque<(i64, f64)> = VecDeque::new();
        for tick in 0..DAY / TICK_MS {
            let now = Timestamp(tick * TICK_MS);
            let share = now.0 as f64 / DAY as f64;
            let hour = (share * 24.0) as usize;
            let frozen_now = Nanos(frozen.iter().map(|(_, held)| *held).sum::<f64>() as i128);
            for entry in &local.report(|_| (Nanos::ZERO, frozen_now)).entries {
                pacing.fold(0, entry);
            }
            while coming.peek().is_some_and(|Reverse((at, _))| *at <= now.0) {
                let Reverse((at, clicked)) = coming.pop().expect("seen");
                pacing.convert(Timestamp(at), Timestamp(clicked), Nanos::ZERO);
            }
            pacing.tick(&TickInput {
                now,
                day: SPAN,
                billed: Nanos(ran.spent as i128),
                unbilled: Nanos((self.budget - ran.spent) as i128),
            });
            while frozen.front().is_some_and(|(until, _)| *until <= now.0) {
                frozen.pop_front();
            }
            let mut free =
                self.budget - ran.spent - frozen.iter().map(|(_, held)| held).sum::<f64>();
            snapshot.epoch += 1;
            snapshot.folded = vec![(0, local.number())];
            snapshot.paces = vec![Pace::NEUTRAL; 3];
            snapshot.paces.push(pacing.pace(SLOT.generation));
            if hour < 24 {
                ran.ln_cpa.push(pacing.status().ln_cpa);
            }
            for _ in 0..self.auctions_per_tick {
                let pace = local.pace(SLOT, &snapshot);
                let bid = self.value * f64::from(pace.multiplier());
                let cost = -unit(&mut self.rng).ln() * 1e6;
                let can = bid <= free;
                local.on_auction(SLOT, can.then_some(Micros(bid as u64)));
                if can && bid <= cost && self.untold > 0.0 && unit(&mut self.rng) < self.untold {
                    free -= bid;
                    frozen.push_back((now.0 + WINDOW_MS, bid));
                }
                if can && bid > cost {
                    free -= cost;
                    ran.spent += cost;
                    ran.by_hour[hour] += cost;
                    local.on_show(SLOT, 1.0);
                    if unit(&mut self.rng) < rate(share) {
                        ran.conversions_by_hour[hour] += 1.0;
                        let after = -unit(&mut self.rng).ln() * 3.6e6;
                        coming.push(Reverse((now.0 + after as i64, now.0)));
                    }
                }
            }
            if ran.spent > 0.98 * self.budget && ran.spent_out_at.is_none() {
                ran.spent_out_at = Some(share);
            }
        }
        ran
    }
}

#[test]
fn a_paced_day_spends_its_budget_and_lasts() {
    // Unpaced, the market takes 0.59 of a CPM per auction at a value of 2.0: the day's budget is
    // gone after 40 % of it.
    for (auctions_per_tick, seed) in [(200, 1), (20, 2), (2, 3)] {
        let budget = 0.4 * 0.594e6 * auctions_per_tick as f64 * 1_440.0;
        let run = |kind| {
            let rng = ChaCha8Rng::seed_from_u64(seed);
            let mut day = Day { rng, value: 2e6, budget, auctions_per_tick, untold: 0.0 };
            day.run(&mut CampaignPacing::new(kind, None), |_| 0.0)
        };
        let unpaced = run(PacingKind::None);
        assert!(unpaced.spent_out_at.expect("out") < 0.6, "{:?}", unpaced.spent_out_at);
        let paced = run(PacingKind::Dual);
        assert!(paced.spent >= 0.98 * budget, "{auctions_per_tick}: {}", paced.spent / budget);
        assert!(paced.spent_out_at.expect("spent") >= 0.9, "{:?}", paced.spent_out_at);
        // Evenly: after the first two hours, in which it learns, no hour takes twice its part.
        let even = budget / 24.0;
        if auctions_per_tick > 2 {
            assert!(
                paced.by_hour[2..].iter().all(|hour| *hour < 2.0 * even),
                "{:?}",
                paced.by_hour
            );
        }
    }
}

#[test]
fn halved_conversions_lower_the_cpa_multiplier_until_the_cpa_is_back() {
    let rng = ChaCha8Rng::seed_from_u64(5);
    // Unlimited money; at a bid of 2.0 an impression costs about 0.69, so 0.0139 conversions per
    // impression cost 50 CPM-units each.
    // Each show is predicted to be clicked, and 0.0139 of clicks to convert.
    let target = 50e6;
    let mut day = Day { rng, value: 2e6, budget: 1e15, auctions_per_tick: 100, untold: 0.0 };
    let mut pacing =
        CampaignPacing::new(PacingKind::Dual, Target::cpa(target as u64 / 1_000, 13_900));
    let ran = day.run(&mut pacing, |share| if share < 0.4 { 0.0139 } else { 0.007 });
    let cpa = |hours: std::ops::Range<usize>| {
        ran.by_hour[hours.clone()].iter().sum::<f64>()
            / ran.conversions_by_hour[hours].iter().sum::<f64>()
            / target
    };
    let at = |share: f64| ran.ln_cpa[(share * ran.ln_cpa.len() as f64) as usize];
    assert!((0.85..1.15).contains(&cpa(4..9)), "before: {}", cpa(4..9));
    assert!(cpa(10..11) > 1.15, "just after: {}", cpa(10..11));
    assert!(at(0.99) < at(0.4) - 0.5, "{} {}", at(0.4), at(0.99));
    assert!((0.8..1.2).contains(&cpa(20..24)), "at the end: {}", cpa(20..24));
}

#[test]
fn in_flight_money_counts_as_it_is_expected() {
    let mut pacing = CampaignPacing::new(PacingKind::Dual, None);
    let input = |now, billed: i128| TickInput {
        now: Timestamp(now),
        day: SPAN,
        billed: Nanos(billed),
        unbilled: Nanos(1_000_000_000 - billed),
    };
    pacing.tick(&input(1_000, 0));
    let (held, late) = (Nanos(100_000), Nanos::ZERO);
    let (placed, bids) = (1_100_000, 1_000);
    let entry = LocalEntry {
        slot: SLOT,
        change: 0.0,
        auctions: 1_000,
        placed,
        bids,
        held,
        late,
        clicks_predicted: 0.0,
    };
    pacing.fold(0, &entry);
    pacing.tick(&input(2_000, 250_000));
    // A quarter of what was decided was billed; the prior of twenty bids moves it little.
    let status = pacing.status();
    assert!((status.cost_ratio - 0.255).abs() < 0.003, "{status:?}");
    // A thousand auctions a second, in which what remains is spent by midnight.
    let left = 1e9 - 250_000.0 - 0.255 * 100_000.0;
    let plan = left / (DAY as f64 - 2_000.0);
    let planned = f64::from(pacing.pace(0).plan_nanos);
    assert!((planned / plan - 1.0).abs() < 0.003, "{planned} {plan}");
}

#[test]
fn what_is_tied_is_spent_early_enough_to_be_spent_again() {
    let day = DAY as f64;
    for (tied_ms, remaining, leave, least, most) in [
        (0.0, 1.0, 0.005, day, day),
        // A minute of spending in flight: minutes earlier.
        (60_000.0, 1.0, 0.005, 0.995 * day, day),
        (0.07 * day, 1.0, 0.005, 0.85 * day, 0.95 * day),
        // Eight hours: what remains can hardly be spent, so most of it goes out at once.
        (0.32 * day, 1.0, 0.005, 0.32 * day, 0.45 * day),
        (2.0 * day, 1.0, 0.005, day, day),
        (0.07 * day, 0.0, 0.005, day, day),
    ] {
        let found = spendable_ms(day, tied_ms, remaining, leave);
        assert!(found >= least && found <= most, "{tied_ms}: {}", found / day);
        let tail = day - (found - tied_ms);
        if found > tied_ms && found < day {
            let left = remaining * tied_ms / found * (-tail / tied_ms).exp();
            assert!((left / leave - 1.0).abs() < 1e-6, "{tied_ms}: {left}");
        }
    }
}

#[test]
fn money_that_nobody_tells_of_is_back_before_midnight() {
    // Bids that seldom win, a tenth of the losses untold: the last hour's stay held past midnight.
    for seed in 1..11 {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (value, untold) = (0.5e6, 0.1);
        let budget = 0.04e6 * 20.0 * 1_440.0;
        let mut day = Day { rng, value, budget, auctions_per_tick: 20, untold };
        let ran = day.run(&mut CampaignPacing::new(PacingKind::Dual, None), |_| 0.0);
        assert!(ran.spent >= 0.985 * budget, "{seed}: {}", ran.spent / budget);
        assert!(ran.spent_out_at.is_some_and(|at| at >= 0.9), "{seed}: {:?}", ran.spent_out_at);
    }
}

#[test]
fn each_kind_keeps_to_its_plan() {
    let run = |kind, multiplier_max| {
        let rng = ChaCha8Rng::seed_from_u64(4);
        let budget = 0.2 * 0.594e6 * 100.0 * 1_440.0;
        let mut day = Day { rng, value: 2e6, budget, auctions_per_tick: 100, untold: 0.0 };
        let mut pacing = CampaignPacing::new(kind, None).up_to(multiplier_max);
        let ran = day.run(&mut pacing, |_| 0.0);
        (ran.spent / budget, ran.by_hour[..12].iter().sum::<f64>() / budget, ran.spent_out_at)
    };
    for (kind, by_noon) in [
        (PacingKind::Dual, 0.5),
        (PacingKind::Pi, 0.5),
        (PacingKind::Ahead, 1.0 - 0.5f64.powf(AHEAD)),
    ] {
        let (spent, found, _) = run(kind, 1_000_000);
        assert!(spent >= 0.99, "{kind:?}: {spent}");
        assert!((found - by_noon).abs() < 0.03, "{kind:?}: {found} by noon");
    }
    // Without a plan the money is gone after a fifth of the day, and sooner where bids may rise.
    let none = run(PacingKind::None, 2_000_000).2.expect("gone");
    let asap = run(PacingKind::Asap, 2_000_000).2.expect("gone");
    assert!((0.15..0.25).contains(&none) && asap < 0.8 * none, "{none} {asap}");
}

#[test]
fn a_base_that_was_guessed_too_low_is_paced_up() {
    // At a fifth of the market's mean price the budget cannot be spent, at half of it, it can.
    let run = |max_ppm| {
        let rng = ChaCha8Rng::seed_from_u64(7);
        let budget = 0.1e6 * 20.0 * 1_440.0;
        let mut day = Day { rng, value: 2e5, budget, auctions_per_tick: 20, untold: 0.0 };
        let pacing = CampaignPacing::new(PacingKind::Dual, None);
        day.run(&mut pacing.up_to(max_ppm), |_| 0.0).spent / budget
    };
    assert!(run(1_000_000) < 0.3, "{}", run(1_000_000));
    assert!(run(100_000_000) >= 0.98, "{}", run(100_000_000));
    // Below 1 it is a cap like any other, and a target keeps the room that it needs.
    let new = |target| CampaignPacing::new(PacingKind::Dual, target);
    assert!((new(None).up_to(500_000).pace(0).multiplier() - 0.5).abs() < 1e-6);
    assert!(new(Target::cpa(1, 1_000_000)).up_to(500_000).pace(0).ln_cap > 1.0);
}

#[test]
fn a_reused_slot_starts_neutral() {
    let mut local = LocalPacing::new(0);
    let pace = Pace { generation: 1, gain: 0.01, plan_nanos: 10.0, ..Pace::NEUTRAL };
    let snapshot = PacingSnapshot { paces: vec![pace; 4], ..PacingSnapshot::default() };
    local.pace(SLOT, &snapshot);
    local.on_auction(SLOT, Some(Micros(1_000)));
    let moved = local.pace(SLOT, &snapshot);
    assert!(moved.ln_budget < 0.0 && moved.gain == 0.01, "{moved:?}");
    let next = Slot { generation: 2, ..SLOT };
    assert_eq!(local.pace(next, &snapshot), Pace { generation: 2, ..Pace::NEUTRAL });
    assert_eq!(PacingSnapshot::default().pace(SLOT), Pace::NEUTRAL);
}

#[test]
fn a_report_in_pieces_has_each_auction_once() {
    let mut local = LocalPacing::new(4);
    let snapshot = PacingSnapshot::default();
    let auction = |local: &mut LocalPacing, index| {
        let slot = Slot { index, generation: 1 };
        local.pace(slot, &snapshot);
        local.on_auction(slot, None);
    };
    (0..300).for_each(|index| auction(&mut local, index));
    let tied = |slot: Slot| (Nanos(i128::from(slot.index == 7)), Nanos::ZERO);
    assert!(local.report_some(128, tied).is_none());
    // One that was asked already, one that will be, and one that had nothing to tell.
    [5, 200, 400].into_iter().for_each(|index| auction(&mut local, index));
    assert!(local.report_some(128, tied).is_none());
    let first = local.report_some(128, tied).expect("whole");
    let second = local.report_some(128, tied).expect("whole");
    let of = |report: &LocalReport| {
        report.entries.iter().map(|entry| (entry.slot.index, entry.auctions)).collect::<Vec<_>>()
    };
    let expected = (0..300).map(|index| (index, 1 + u32::from(index == 200))).collect::<Vec<_>>();
    assert_eq!((first.core, first.number, of(&first)), (4, 1, expected));
    assert_eq!((second.number, of(&second)), (2, vec![(7, 0), (5, 1), (400, 1)]));
}

#[test]
fn what_is_published_of_a_change_is_not_counted_beside_it() {
    let mut local = LocalPacing::new(1);
    let tied = |_| (Nanos::ZERO, Nanos::ZERO);
    let pace = Pace { generation: 1, gain: 0.01, plan_nanos: 10.0, ..Pace::NEUTRAL };
    let mut snapshot = PacingSnapshot { paces: vec![pace; 4], ..PacingSnapshot::default() };
    local.pace(SLOT, &snapshot);
    local.on_auction(SLOT, Some(Micros(1_000)));
    let moved = local.pace(SLOT, &snapshot).ln_budget;
    assert!(moved < 0.0);
    let report = local.report(tied);
    assert_eq!(local.pace(SLOT, &snapshot).ln_budget, moved, "still its own");
    // A tick that had not heard of it, and one that had.
    snapshot.epoch += 1;
    assert_eq!(local.pace(SLOT, &snapshot).ln_budget, moved);
    snapshot.epoch += 1;
    snapshot.folded = vec![(0, 9), (1, report.number)];
    snapshot.paces[SLOT.index as usize].ln_budget = moved;
    assert_eq!(local.pace(SLOT, &snapshot).ln_budget, moved);
}

#[test]
fn a_show_counts_for_whoever_paced_its_bid_and_for_no_successor() {
    let mut local = LocalPacing::new(0);
    let (snapshot, tied) = (PacingSnapshot::default(), |_| (Nanos::ZERO, Nanos::ZERO));
    let next = Slot { generation: SLOT.generation + 1, ..SLOT };
    let arm = Slot { index: SLOT.index + 1, ..SLOT };
    let seen = |local: &mut LocalPacing| {
        let entries = local.report(tied).entries.into_iter();
        entries.map(|entry| (entry.slot, entry.clicks_predicted)).collect::<Vec<_>>()
    };
    for slot in [SLOT, arm] {
        local.pace(slot, &snapshot);
    }
    local.on_show(arm, 0.25);
    local.on_show(arm, 0.5);
    assert_eq!(seen(&mut local), [(arm, 0.75)]);
    assert_eq!(seen(&mut local), [], "each is told once");
    // Another campaign has taken the place: what was shown of the first is not its own.
    local.pace(next, &snapshot);
    local.on_show(SLOT, 0.25);
    assert_eq!(seen(&mut local), []);
    local.on_show(next, 0.25);
    assert_eq!(seen(&mut local), [(next, 0.25)]);
}

proptest! {
    #[test]
    fn multipliers_stay_within_their_bounds(
        steps in prop::collection::vec((0i64..7_200_000, 0i128..10_000_000, -9f32..9f32, 0u32..100_000, 0u64..1 << 40), 1..60),
        target in prop::option::of(1u64..1_000_000),
        budget in -1_000_000i128..1_000_000_000_000,
    ) {
        let mut pacing = CampaignPacing::new(PacingKind::Dual, target.and_then(|micros| Target::cpa(micros, 100_000)));
        let (mut now, mut billed) = (1, 0);
        for (wait, spend, change, auctions, placed) in steps {
            now += wait;
            billed += spend;
            let (held, late, bids) = (Nanos(spend), Nanos(spend / 2), auctions / 2);
            let entry = LocalEntry {
                slot: SLOT,
                change,
                auctions,
                placed,
                bids,
                held,
                late,
                clicks_predicted: auctions as f32 / 1e3,
            };
            pacing.fold(1, &entry);
            if spend % 3 == 0 {
                pacing.convert(Timestamp(now), Timestamp(now - wait), Nanos(spend));
            }
            pacing.tick(&TickInput {
                now: Timestamp(now),
                day: SPAN,
                billed: Nanos(billed),
                unbilled: Nanos(budget - billed),
            });
            let pace = pacing.pace(1);
            prop_assert!(pace.multiplier() >= 0.000_999 && pace.multiplier() <= 3.000_1, "{pace:?}");
            // Twenty times a usual step, while the price level is searched for.
            prop_assert!(pace.plan_nanos.is_finite() && pace.gain <= 0.2 && pace.cost_ratio <= 1.0);
        }
    }
}
