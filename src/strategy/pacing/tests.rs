use super::*;
use crate::units::Slot;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::VecDeque;

const SLOT: Slot = Slot { index: 3, generation: 1 };
const DAY: i64 = 86_400_000;
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
    /// What the controller is told of that.
    window_ms: i64,
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
    /// an hour late.
    fn run(&mut self, pacing: &mut CampaignPacing, rate: impl Fn(f64) -> f64) -> Ran {
        let mut local = LocalPacing::new(0);
        let mut ran =
            Ran { by_hour: vec![0.0; 24], conversions_by_hour: vec![0.0; 24], ..Ran::default() };
        let mut snapshot = PacingSnapshot::default();
        let mut coming: VecDeque<(i64, i64)> = VecDeque::new();
        let mut frozen: VecDeque<(i64, f64)> = VecDeque::new();
        for tick in 0..DAY / TICK_MS {
            let now = Timestamp(tick * TICK_MS);
            let share = now.0 as f64 / DAY as f64;
            let hour = (share * 24.0) as usize;
            for entry in &local.report(|_| Nanos::ZERO).entries {
                pacing.fold(0, entry);
            }
            while coming.front().is_some_and(|(at, _)| *at <= now.0) {
                let (at, clicked) = coming.pop_front().expect("seen");
                pacing.convert(Timestamp(at), Some(Timestamp(clicked)));
            }
            pacing.tick(&TickInput {
                now,
                day_starts: Timestamp(0),
                day_ends: Timestamp(DAY),
                billed: Nanos(ran.spent as i128),
                unbilled: Nanos((self.budget - ran.spent) as i128),
                window_ms: self.window_ms,
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
            local.adopt(&snapshot);
            if hour < 24 {
                ran.ln_cpa.push(pacing.status().ln_cpa);
            }
            for _ in 0..self.auctions_per_tick {
                let pace = local.pace(SLOT, &snapshot);
                let bid = self.value * f64::from(pace.multiplier());
                let cost = -unit(&mut self.rng).ln() * 1e6;
                let can = bid <= free;
                local.on_auction(SLOT, &pace, can.then_some(Micros(bid as u64)));
                if can && bid <= cost && self.untold > 0.0 && unit(&mut self.rng) < self.untold {
                    free -= bid;
                    frozen.push_back((now.0 + WINDOW_MS, bid));
                }
                if can && bid > cost {
                    free -= cost;
                    ran.spent += cost;
                    ran.by_hour[hour] += cost;
                    if unit(&mut self.rng) < rate(share) {
                        ran.conversions_by_hour[hour] += 1.0;
                        coming.push_back((now.0 + 3_600_000, now.0));
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
            let mut day =
                Day { rng, value: 2e6, budget, auctions_per_tick, untold: 0.0, window_ms: 0 };
            day.run(&mut CampaignPacing::new(kind, None, Micros(2_000_000)), |_| 0.0)
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
    let target = 50e6;
    let mut day =
        Day { rng, value: 2e6, budget: 1e15, auctions_per_tick: 100, untold: 0.0, window_ms: 0 };
    let mut pacing =
        CampaignPacing::new(PacingKind::Dual, Some(Nanos(target as i128)), Micros(6_000_000));
    let ran = day.run(&mut pacing, |share| if share < 0.4 { 0.0139 } else { 0.007 });
    let cpa = |hours: std::ops::Range<usize>| {
        ran.by_hour[hours.clone()].iter().sum::<f64>()
            / ran.conversions_by_hour[hours].iter().sum::<f64>()
            / target
    };
    let at = |share: f64| ran.ln_cpa[(share * ran.ln_cpa.len() as f64) as usize];
    assert!((0.85..1.15).contains(&cpa(4..9)), "before: {}", cpa(4..9));
    assert!(cpa(10..11) > 1.5, "just after: {}", cpa(10..11));
    assert!(at(0.99) < at(0.4) - 0.5, "{} {}", at(0.4), at(0.99));
    assert!((0.8..1.2).contains(&cpa(20..24)), "at the end: {}", cpa(20..24));
}

#[test]
fn in_flight_money_counts_as_it_is_expected() {
    // A window holds money that nobody tells of: the plan ends so much before the day, within an
    // hour.
    for (window_ms, slack) in [(0, DAY / 64), (1_800_000, 1_800_000), (i64::MAX, 3_600_000)] {
        let mut pacing = CampaignPacing::new(PacingKind::Dual, None, Micros(1_000));
        let input = |now, billed: i128| TickInput {
            now: Timestamp(now),
            day_starts: Timestamp(0),
            day_ends: Timestamp(DAY),
            billed: Nanos(billed),
            unbilled: Nanos(1_000_000 - billed),
            window_ms,
        };
        pacing.tick(&input(1_000, 0));
        let held = Nanos(100_000);
        let entry =
            LocalEntry { slot: SLOT, change: 0.0, auctions: 1_000, placed: 1_100_000, held };
        pacing.fold(0, &entry);
        pacing.tick(&input(2_000, 250_000));
        // A quarter of what was decided was billed; the prior of twenty bids hardly moves it.
        let status = pacing.status();
        assert!((status.cost_ratio - 0.255).abs() < 0.003, "{status:?}");
        let left = 1_000_000.0 - 250_000.0 - 0.255 * 100_000.0;
        let plan = left / ((DAY - slack) as f64 - 2_000.0);
        let planned = f64::from(pacing.pace(0).plan_nanos);
        assert!((planned / plan - 1.0).abs() < 0.003, "{slack}: {planned} {plan}");
    }
}

#[test]
fn money_that_nobody_tells_of_is_back_before_midnight() {
    // Bids that seldom win, a tenth of the losses untold: the last hour's stay held past midnight.
    let run = |window_ms, seed| {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (value, untold) = (0.5e6, 0.1);
        let budget = 0.04e6 * 20.0 * 1_440.0;
        let mut day = Day { rng, value, budget, auctions_per_tick: 20, untold, window_ms };
        let ran =
            day.run(&mut CampaignPacing::new(PacingKind::Dual, None, Micros(500_000)), |_| 0.0);
        (ran.spent / budget, ran.spent_out_at)
    };
    let (mut unaware_left, mut left) = (0.0, 0.0);
    for seed in 1..11 {
        unaware_left += 1.0 - run(0, seed).0;
        let (spent, at) = run(WINDOW_MS, seed);
        left += 1.0 - spent;
        assert!(spent >= 0.99, "{seed}: {spent}");
        assert!(at.is_some_and(|at| at >= 0.9), "{seed}: {at:?}");
    }
    assert!(left < 0.75 * unaware_left, "{left} {unaware_left}");
}

#[test]
fn a_base_that_was_guessed_too_low_is_paced_up() {
    // At a fifth of the market's mean price the budget cannot be spent, at half of it, it can.
    let run = |max_ppm| {
        let rng = ChaCha8Rng::seed_from_u64(7);
        let budget = 0.1e6 * 20.0 * 1_440.0;
        let mut day =
            Day { rng, value: 2e5, budget, auctions_per_tick: 20, untold: 0.0, window_ms: 0 };
        let pacing = CampaignPacing::new(PacingKind::Dual, None, Micros(2_000_000));
        day.run(&mut pacing.up_to(max_ppm), |_| 0.0).spent / budget
    };
    assert!(run(1_000_000) < 0.3, "{}", run(1_000_000));
    assert!(run(100_000_000) >= 0.98, "{}", run(100_000_000));
    // Below 1 it is a cap like any other, and a target keeps the room that it needs.
    let new = |target| CampaignPacing::new(PacingKind::Dual, target, Micros(1_000));
    assert!((new(None).up_to(500_000).pace(0).multiplier() - 0.5).abs() < 1e-6);
    assert!(new(Some(Nanos(1))).up_to(500_000).pace(0).ln_cap > 1.0);
}

#[test]
fn a_reused_slot_starts_neutral() {
    let mut local = LocalPacing::new(0);
    let pace = Pace { generation: 1, gain: 0.01, plan_nanos: 10.0, ..Pace::NEUTRAL };
    let snapshot = PacingSnapshot { paces: vec![pace; 4], ..PacingSnapshot::default() };
    local.on_auction(SLOT, &pace, Some(Micros(1_000)));
    let moved = local.pace(SLOT, &snapshot);
    assert!(moved.ln_budget < 0.0 && moved.gain == 0.01, "{moved:?}");
    let next = Slot { generation: 2, ..SLOT };
    assert_eq!(local.pace(next, &snapshot), Pace { generation: 2, ..Pace::NEUTRAL });
    assert_eq!(PacingSnapshot::default().pace(SLOT), Pace::NEUTRAL);
}

proptest! {
    #[test]
    fn multipliers_stay_within_their_bounds(
        steps in prop::collection::vec((0i64..7_200_000, 0i128..10_000_000, -9f32..9f32, 0u32..100_000, 0u64..1 << 40), 1..60),
        target in prop::option::of(1i128..1_000_000_000),
        budget in -1_000_000i128..1_000_000_000_000,
    ) {
        let mut pacing = CampaignPacing::new(PacingKind::Dual, target.map(Nanos), Micros(1_000_000));
        let (mut now, mut billed) = (1, 0);
        for (wait, spend, change, auctions, placed) in steps {
            now += wait;
            billed += spend;
            let entry = LocalEntry { slot: SLOT, change, auctions, placed, held: Nanos(spend) };
            pacing.fold(1, &entry);
            if spend % 3 == 0 {
                pacing.convert(Timestamp(now), Some(Timestamp(now - wait)));
            }
            pacing.tick(&TickInput {
                now: Timestamp(now),
                day_starts: Timestamp(0),
                day_ends: Timestamp(DAY),
                billed: Nanos(billed),
                unbilled: Nanos(budget - billed),
                window_ms: wait,
            });
            let pace = pacing.pace(1);
            prop_assert!(pace.multiplier() >= 0.000_999 && pace.multiplier() <= 3.000_1, "{pace:?}");
            prop_assert!(pace.plan_nanos.is_finite() && pace.gain <= 0.01 && pace.cost_ratio <= 1.0);
        }
    }
}
