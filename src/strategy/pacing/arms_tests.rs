use super::*;
use crate::strategy::pacing::{DaySpan, LocalPacing, PacingSnapshot};
use crate::units::Micros;

const DAY: i64 = 86_400_000;
const SPAN: DaySpan = DaySpan { starts: Timestamp(0), ends: Timestamp(DAY), weekday: 3 };
const TICK_MS: i64 = 60_000;
const BUDGET: f64 = 1e9;

fn arm(index: u32, share: u8, pacing: PacingKind) -> ArmTerms {
    let slot = Slot { index, generation: 100 + index };
    ArmTerms {
        slot,
        share,
        pacing,
        plan: PlanKind::Even,
        multiplier_max_ppm: 1_000_000,
        target: None,
    }
}

fn fresh(terms: &ArmTerms) -> CampaignPacing {
    CampaignPacing::new(terms.pacing, None)
        .up_to(terms.multiplier_max_ppm)
        .on_plan(terms.plan, None)
}

fn status_of(arms: &ArmPacing) -> Vec<PacingStatus> {
    arms.status().collect()
}

/// A day of an auction every 3 s, in turns of the arms, in which every bid wins at its price: the spend
/// of each arm, in all and at noon.
fn run(arms: &mut ArmPacing, slots: &[Slot], value: f64) -> Vec<[f64; 2]> {
    let (mut local, mut snapshot) = (LocalPacing::new(0), PacingSnapshot::default());
    let mut spent = vec![[0.0; 2]; slots.len()];
    for tick in 0..DAY / TICK_MS {
        for entry in &local.report(|_| (Nanos::ZERO, Nanos::ZERO)).entries {
            arms.fold(0, entry);
        }
        let billed: f64 = spent.iter().map(|[all, _]| all).sum();
        let (billed, unbilled) = (Nanos(billed as i128), Nanos((BUDGET - billed) as i128));
        let now = Timestamp(tick * TICK_MS);
        arms.tick(&TickInput { now, day: SPAN, billed, unbilled }, TICK_MS);
        snapshot.epoch += 1;
        snapshot.folded = vec![(0, local.number())];
        snapshot.paces = vec![Pace::NEUTRAL; 10];
        arms.paces().for_each(|(slot, pace)| snapshot.paces[slot.index as usize] = pace);
        for auction in 0..20 {
            let turn = auction % slots.len();
            let pace = local.pace(slots[turn], &snapshot);
            let bid = (!pace.is_spent()).then(|| value * f64::from(pace.multiplier()));
            local.on_auction(slots[turn], bid.map(|bid| Micros(bid as u64)));
            let Some(bid) = bid else { continue };
            arms.bill(turn as u8, Nanos(bid as i128), true);
            spent[turn][0] += bid;
            spent[turn][1] += if now.0 < DAY / 2 { bid } else { 0.0 };
        }
    }
    spent
}

#[test]
fn each_arm_spends_its_share_in_its_own_way() {
    let terms = [arm(4, 30, PacingKind::Asap), arm(5, 70, PacingKind::Dual)];
    let mut arms = ArmPacing::default().with_terms(&terms, fresh);
    // An auction is worth ten times what the plan has for it.
    let spent = run(&mut arms, &terms.map(|terms| terms.slot), 3.5e5);
    let [hurried, even] = [spent[0], spent[1]].map(|sums| sums.map(|sum| sum / BUDGET));
    // A tick's bids of the one that hurries are 0.35 % of the budget.
    assert!((0.3..0.304).contains(&hurried[0]), "{hurried:?}");
    assert!((hurried[0] - hurried[1]).abs() < 1e-9, "it is done by noon: {hurried:?}");
    assert!((0.68..0.702).contains(&even[0]), "{even:?}");
    assert!((0.3..0.42).contains(&even[1]), "it goes evenly: {even:?}");
}

#[test]
fn other_shares_keep_what_the_arms_know() {
    let (one, two) = (arm(4, 50, PacingKind::Dual), arm(5, 50, PacingKind::Dual));
    let mut arms = ArmPacing::default().with_terms(&[one, two], fresh);
    run(&mut arms, &[one.slot, two.slot], 3.5e5);
    let before = status_of(&arms);
    assert!(before.iter().all(|status| status.ln_budget < -1.0), "{before:?}");
    // The places move with the catalog, and the shares with the campaign.
    let moved = |terms: ArmTerms, index, share| {
        let slot = Slot { index, ..terms.slot };
        ArmTerms { slot, share, ..terms }
    };
    let arms = arms.with_terms(&[moved(one, 7, 60), moved(two, 8, 40)], fresh);
    assert_eq!(status_of(&arms), before);
    let asap = ArmTerms { pacing: PacingKind::Asap, ..moved(one, 7, 60) };
    let arms = arms.with_terms(&[asap, moved(two, 8, 40)], fresh);
    assert_eq!(status_of(&arms)[0].ln_budget, 0.0, "another control begins anew");
    assert_eq!(status_of(&arms)[1], before[1]);
}

#[test]
fn what_is_in_flight_counts_for_who_placed_it() {
    let terms = [arm(4, 50, PacingKind::Asap), arm(5, 50, PacingKind::Asap)];
    let mut arms = ArmPacing::default().with_terms(&terms, fresh);
    let tick = |arms: &mut ArmPacing, now| {
        let input = TickInput { now, day: SPAN, billed: Nanos::ZERO, unbilled: Nanos(1_000_000) };
        arms.tick(&input, TICK_MS);
        arms.paces().map(|(_, pace)| pace.is_spent()).collect::<Vec<_>>()
    };
    assert_eq!(tick(&mut arms, Timestamp(0)), [false, false]);
    // All that the campaign holds was placed by the first arm: twice its share.
    let entry = LocalEntry {
        slot: terms[0].slot,
        change: 0.0,
        auctions: 10,
        placed: 2_000_000,
        bids: 10,
        held: Nanos(2_000_000),
        late: Nanos::ZERO,
        clicks_predicted: 0.0,
    };
    arms.fold(0, &entry);
    arms.fold(0, &LocalEntry { slot: terms[1].slot, placed: 0, bids: 0, ..entry });
    assert_eq!(tick(&mut arms, Timestamp(TICK_MS)), [true, false]);
    arms.fold(0, &LocalEntry { placed: 0, bids: 0, held: Nanos::ZERO, ..entry });
    assert_eq!(tick(&mut arms, Timestamp(2 * TICK_MS)), [false, false], "it came back");
    // A bill of yesterday counts for no share of today.
    arms.bill(0, Nanos(600_000), false);
    assert_eq!(tick(&mut arms, Timestamp(3 * TICK_MS)), [false, false]);
    arms.bill(0, Nanos(1_200_000), true);
    assert_eq!(tick(&mut arms, Timestamp(4 * TICK_MS)), [true, false]);
    arms.turn_day();
    assert_eq!(tick(&mut arms, Timestamp(5 * TICK_MS)), [false, false]);
}
