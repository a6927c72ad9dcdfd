//! What a tick remembers of the ledger, beside the ledger itself.

use super::super::actor_tests::terms;
use super::super::command::{AdjustReason, Notice};
use super::super::line::{Due, Windows};
use super::super::plan::{Budget, Flight};
use super::*;
use crate::store::Position;
use crate::strategy::pacing::{ArmTerms, PacingKind, PlanKind};
use crate::units::{AdvertiserId, HoldId, Micros, Slot};
use jiff::tz::TimeZone;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CAMPAIGNS: u64 = 4;
const DAYS: i32 = 40;
const WINDOWS: Windows = Windows { decision_ttl_ms: 1_000, billing_window_ms: 60_000 };
const HOUR: i64 = 3_600_000;

/// Some terms of a campaign, of which two share an advertiser.
fn some_terms(id: u64, rng: &mut ChaCha8Rng) -> CampaignTerms {
    let mut amount = |most: i128| Nanos(rng.random_range(0..most));
    let (daily, lifetime, bound) = (amount(10_000), amount(100_000), amount(50_000));
    let first = DayNumber(rng.random_range(0..DAYS));
    let flight = Flight { first, last: DayNumber(first.0 + 5), bound };
    let budget = Budget {
        advertiser_bound: Some(bound).filter(|_| rng.random()),
        lifetime: Some(lifetime).filter(|_| rng.random()),
        flights: if rng.random() { vec![flight] } else { Vec::new() },
        daily_max_ppm: if rng.random() { 1_500_000 } else { 1_000_000 },
        exploration_ppm: 50_000,
        is_active: rng.random_bool(0.9),
        ..Budget::daily(daily)
    };
    let (id, advertiser) = (CampaignId(id), AdvertiserId(id / 2));
    CampaignTerms { id, advertiser, budget, ..terms(1) }
}

fn some_command(step: u32, rng: &mut ChaCha8Rng) -> Command {
    let campaign = CampaignId(rng.random_range(0..CAMPAIGNS));
    let day = DayNumber(rng.random_range(0..DAYS));
    let lease = LeaseId { node: 1, core: 0, boot: 1, number: rng.random_range(0..24) };
    let hold = HoldId { lease, sequence: rng.random_range(0..32) };
    let amount = Nanos(rng.random_range(0..3_000));
    let purpose = if rng.random() { Purpose::Serve } else { Purpose::Explore };
    let op = match rng.random_range(0..6) {
        0 => LeaseOp::TopUp { asked: amount },
        1 => LeaseOp::Return { amount },
        2 => LeaseOp::Late { amount },
        3 => LeaseOp::Uncovered { hold, amount },
        4 if rng.random_bool(0.1) => LeaseOp::Close,
        _ => LeaseOp::Open { campaign, day, purpose, asked: amount },
    };
    let price = Micros(rng.random_range(0..2_000));
    match rng.random_range(0..10) {
        0..6 => Command::Lease { lease, step, op },
        6..8 => {
            // As its lease has it: a bill of another day or campaign is refused.
            let (held, due, notice) = (price, Due::default(), Notice::Win);
            Command::Settle { hold, campaign, day, held, price, due, notice }
        }
        8 if rng.random_bool(0.02) => {
            Command::HolderLost { node: 1, core: None, boot_upto: 1, window_ms: 1_000 }
        }
        8 => Command::Expire,
        _ => {
            let (amount, key) = (Nanos(amount.0 - 500), step.to_string());
            Command::Adjust { campaign, day, amount, reason: AdjustReason::Goodwill, key }
        }
    }
}

#[test]
fn what_a_tick_remembers_is_what_the_ledger_says() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut state = BudgetState::new(1, 1, Ledger::default());
    // The same ledger, which says what became of each command.
    let (mut beside, mut steps) = (Ledger::default(), BTreeMap::new());
    let mut all: Vec<_> = (0..CAMPAIGNS).map(|id| some_terms(id, &mut rng)).collect();
    let (mut position, mut remembered, mut billed, mut uncovered) = (0, 0, 0, 0);
    for round in 0..3_000 {
        let now = Timestamp(round * HOUR / 3);
        let mut commands = Vec::new();
        if round % 50 == 0 {
            let changed = rng.random_range(0..CAMPAIGNS);
            all[changed as usize] = some_terms(changed, &mut rng);
            commands = state.set_campaigns(&all, now);
        }
        for _ in 0..4 {
            let mut command = some_command(round as u32, &mut rng);
            if let Command::Lease { lease, step, .. } = &mut command {
                *step = steps.get(lease).copied().unwrap_or(0);
            }
            if let Command::Settle { hold, campaign, day, due, .. } = &mut command
                && let Some(lease) = state.ledger.leases.get(&hold.lease)
            {
                (*campaign, *day) = (lease.place.campaign, lease.place.day);
                *due = Due::of(now, WINDOWS);
            }
            commands.push(command);
        }
        for command in commands {
            position += 1;
            let (position, body) = (Position(position), command.encode());
            let record = Record { position, at: now, idem: u128::from(position.0), body };
            state.fold(&record).expect("it folds");
            let (_, outcome) = beside.fold(&record).expect("it folds");
            if let (Command::Lease { lease, op, .. }, Outcome::Stepped(answer)) =
                (&command, outcome)
            {
                let next = steps.entry(*lease).or_insert(0);
                *next = if matches!(op, LeaseOp::Open { .. }) { 1 } else { *next + 1 };
                uncovered += usize::from(matches!(answer, Answer::Covered(_)));
            }
            for (id, campaign) in &state.campaigns {
                let Some((day, own)) = campaign.standing else { continue };
                remembered += 1;
                billed += usize::from(own.billed > Nanos::ZERO);
                assert_eq!(Some(own), state.ledger.tree.own_standing(*id, day), "{command:?}");
            }
        }
        let mut tick = state.begin_tick(now);
        while state.tick_some(&mut tick, 1) {}
    }
    assert!(
        remembered > 10_000 && billed > 1_000 && uncovered > 10,
        "{remembered} {billed} {uncovered}"
    );
    assert!(!state.ledger.house().is_poisoned);
}

/// A ledger that folds what a state asks for, at a time.
fn fold_all(state: &mut BudgetState, commands: &[Command], now: Timestamp) {
    for command in commands {
        let position = Position(state.ledger.position().0 + 1);
        let idem = u128::from(position.0);
        let record = Record { position, at: now, idem, body: command.encode() };
        state.fold(&record).expect("it folds");
    }
}

#[test]
fn a_campaign_that_moves_west_keeps_a_budget_for_its_new_today() {
    // Noon of UTC: still this day in Los Angeles, the same in Tokyo until 15:00; so from 16:00 on.
    let now = Timestamp(20_000 * 24 * HOUR + 16 * HOUR);
    let zone = |name: &str| TimeZone::get(name).expect("a zone");
    let tokyo = CampaignTerms { time_zone: zone("Asia/Tokyo"), ..terms(10) };
    let west = CampaignTerms { time_zone: zone("America/Los_Angeles"), ..terms(10) };
    let mut state = BudgetState::new(1, 1, Ledger::default());
    let commands = state.set_campaigns(std::slice::from_ref(&tokyo), now);
    fold_all(&mut state, &commands, now);
    assert_eq!(state.campaigns[&tokyo.id].day.number, DayNumber(20_001));

    let commands = state.set_campaigns(std::slice::from_ref(&west), now);
    fold_all(&mut state, &commands, now);
    let today = state.campaigns[&west.id].day.number;
    assert_eq!(today, DayNumber(20_000));
    let (billed, unbilled) = state.ledger.standing(west.id, today).expect("a day");
    assert_eq!((billed, unbilled), (Nanos::ZERO, west.budget.on(today)));
    // Back again, and once more: the ledger has heard of all these days.
    for terms in [&tokyo, &west] {
        assert!(state.set_campaigns(std::slice::from_ref(terms), now).is_empty());
    }
}

#[test]
fn an_edit_after_midnight_and_before_the_tick_begins_the_day_for_arms_too() {
    let arm = |index| ArmTerms {
        slot: Slot { index, generation: 1 },
        share: 50,
        pacing: PacingKind::Dual,
        plan: PlanKind::default(),
        multiplier_max_ppm: 1_000_000,
        target: None,
    };
    let both = CampaignTerms { arms: vec![arm(1), arm(2)], ..terms(10) };
    let mut state = BudgetState::new(1, 1, Ledger::default());
    let midnight = Timestamp(20_000 * 24 * HOUR);
    let before = Timestamp(midnight.0 - 1_000);
    let commands = state.set_campaigns(std::slice::from_ref(&both), before);
    fold_all(&mut state, &commands, before);
    let (campaign, day, amount) = (both.id, DayNumber(19_999), both.budget.on(DayNumber(19_999)));
    state.bill_arm(&ArmBill { campaign, arm: 0, amount, day });
    let mut are_spent = |edited_at: Option<Timestamp>, now: Timestamp| {
        if let Some(at) = edited_at {
            assert!(state.set_campaigns(std::slice::from_ref(&both), at).is_empty());
        }
        let mut tick = state.begin_tick(now);
        while state.tick_some(&mut tick, 1) {}
        let paces = state.campaigns[&both.id].arms.paces();
        paces.map(|(_, pace)| pace.is_spent()).collect::<Vec<_>>()
    };
    assert_eq!(are_spent(Some(before), before), [true, false], "an edit within the day");
    assert_eq!(are_spent(Some(midnight), midnight.plus_millis(10)), [false, false]);
}
